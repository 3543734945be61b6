# Makes one page of three files, and a C file of the page.  Run with cmake -P:
#
#     -D HTML=… -D CSS=… -D JS=…   what goes in
#     -D OUTPUT=report_page.c      what comes out
#     -D PREFIX=name               name_before, name_middle, name_after: what stands in front of @SUMMARY@,
#                                  between that and @DATA@, and behind
#
# The policy of the page allows one style and one script, by hash.  The hash is over what
# stands between the tags, so both files are put in exactly as they are.

cmake_minimum_required(VERSION 3.25) # before CMP0053 "@CSS@" would be a variable

set(digits ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/)

# SHA-256 of a file in base64, as Content-Security-Policy wants it.
function(sha256_base64 out file)
  file(SHA256 "${file}" hex)
  set(text "")
  # Three bytes are four digits; 32 bytes end in two that are three digits and a sign.
  foreach(at RANGE 0 54 6)
    string(SUBSTRING "${hex}" ${at} 6 piece)
    foreach(shift 18 12 6 0)
      math(EXPR digit "(0x${piece} >> ${shift}) & 63")
      string(SUBSTRING "${digits}" ${digit} 1 digit)
      string(APPEND text "${digit}")
    endforeach()
  endforeach()
  string(SUBSTRING "${hex}" 60 4 piece)
  foreach(shift 12 6 0)
    math(EXPR digit "((0x${piece} << 2) >> ${shift}) & 63")
    string(SUBSTRING "${digits}" ${digit} 1 digit)
    string(APPEND text "${digit}")
  endforeach()
  set(${out} "${text}=" PARENT_SCOPE)
endfunction()

# Appends a C array of the bytes of `text` to the variable `code`.
function(append_array name text)
  file(WRITE "${OUTPUT}.part" "${text}")
  file(READ "${OUTPUT}.part" hex HEX)
  file(REMOVE "${OUTPUT}.part")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  string(REGEX REPLACE "(................................................................................)" "\\1\n"
    bytes "${bytes}")
  set(code "${code}const unsigned char ${name}[] = {\n${bytes}\n};\nconst size_t ${name}_bytes = sizeof(${name});\n"
    PARENT_SCOPE)
endfunction()

file(READ "${HTML}" page)
file(READ "${CSS}" css)
file(READ "${JS}" js)
foreach(part css js)
  if("${${part}}" MATCHES "</(script|style)|<!--")
    message(FATAL_ERROR "report.${part} holds what would end its element")
  endif()
endforeach()
sha256_base64(css_hash "${CSS}")
sha256_base64(js_hash "${JS}")
string(REPLACE "@CSS_HASH@" "${css_hash}" page "${page}")
string(REPLACE "@JS_HASH@" "${js_hash}" page "${page}")
string(REPLACE "@CSS@" "${css}" page "${page}")
string(REPLACE "@JS@" "${js}" page "${page}")

# Cuts `page` at a mark: what is in front goes to a variable, what is behind stays.
function(cut_page out mark)
  string(FIND "${page}" "${mark}" at)
  string(LENGTH "${mark}" length)
  if(at LESS 0)
    message(FATAL_ERROR "${HTML} has no ${mark}")
  endif()
  math(EXPR behind "${at} + ${length}")
  string(SUBSTRING "${page}" 0 ${at} front)
  string(SUBSTRING "${page}" ${behind} -1 rest)
  set(${out} "${front}" PARENT_SCOPE)
  set(page "${rest}" PARENT_SCOPE)
endfunction()

cut_page(before "@SUMMARY@")
cut_page(middle "@DATA@")
set(code "/* Made by cmake/EmbedPage.cmake. */\n#include \"tools/report_page.h\"\n\n")
append_array(${PREFIX}_before "${before}")
append_array(${PREFIX}_middle "${middle}")
append_array(${PREFIX}_after "${page}")
file(WRITE "${OUTPUT}" "${code}")

# How everything in fsmeta is compiled.

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON) # gnu11: statx, O_TMPFILE, renameat2
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Build type" FORCE)
endif()

option(FSMETA_WERROR "Treat warnings as errors" ON)
option(FSMETA_FUZZ "Build the fuzz targets with clang's libFuzzer" OFF)
set(FSMETA_SANITIZE "" CACHE STRING "Sanitizers, as -fsanitize= takes them")
option(FSMETA_COVERAGE "Instrument for gcov" OFF)

add_library(fsmeta_options INTERFACE)
target_include_directories(fsmeta_options INTERFACE "${PROJECT_SOURCE_DIR}")
target_compile_definitions(fsmeta_options INTERFACE
  _GNU_SOURCE _FILE_OFFSET_BITS=64 FSMETA_VERSION="${PROJECT_VERSION}")
target_compile_options(fsmeta_options INTERFACE
  -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith
  -Wwrite-strings -Wundef -Wvla -Wformat=2 -Wcast-qual -fno-strict-aliasing
  -fstack-protector-strong)
if(FSMETA_WERROR)
  target_compile_options(fsmeta_options INTERFACE -Werror)
endif()
if(CMAKE_BUILD_TYPE MATCHES "Rel")
  target_compile_options(fsmeta_options INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
endif()
if(FSMETA_SANITIZE)
  target_compile_options(fsmeta_options INTERFACE
    -fsanitize=${FSMETA_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(fsmeta_options INTERFACE -fsanitize=${FSMETA_SANITIZE})
  if(FSMETA_SANITIZE MATCHES "undefined")
    target_compile_options(fsmeta_options INTERFACE -fno-sanitize-recover=undefined)
    target_link_options(fsmeta_options INTERFACE -fno-sanitize-recover=undefined)
  endif()
endif()
if(FSMETA_FUZZ)
  target_compile_options(fsmeta_options INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(FSMETA_COVERAGE)
  target_compile_options(fsmeta_options INTERFACE --coverage)
  target_link_options(fsmeta_options INTERFACE --coverage)
endif()

# fsmeta_library(NAME SOURCES a.c ... LINKS fsmeta_base PkgConfig::X ...)
# One static library, named after its folder.  What it links it names itself.
function(fsmeta_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINKS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC fsmeta_options ${ARG_LINKS})
endfunction()

# fsmeta_module(NAME SOURCES a.c ... LINKS PkgConfig::X ...): what is loaded at run time, by a program in
# tools/, from FSMETA_MODULE_PATH as seen from the program's folder.  The way is the same in the build tree
# and where it is installed.  It takes nothing from the program, so it names all sources that it needs.
file(RELATIVE_PATH FSMETA_MODULE_PATH
  "/prefix/${CMAKE_INSTALL_BINDIR}" "/prefix/${CMAKE_INSTALL_LIBDIR}/fsmeta")
function(fsmeta_module name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINKS" ${ARGN})
  add_library(${name} MODULE ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE fsmeta_options ${ARG_LINKS})
  set_target_properties(${name} PROPERTIES PREFIX "" C_VISIBILITY_PRESET hidden
    LIBRARY_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tools/${FSMETA_MODULE_PATH}")
  install(TARGETS ${name} LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}/fsmeta")
endfunction()

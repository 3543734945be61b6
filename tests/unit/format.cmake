set(format_tests "${CMAKE_CURRENT_LIST_DIR}")
fsmeta_unit_test(test_format_entry test_format_entry.c LINKS fsmeta_format)
fsmeta_unit_test(test_format_source test_format_source.c LINKS fsmeta_format)
target_compile_definitions(test_format_source PRIVATE
  DOCUMENT="${format_tests}/../../docs/batchsource.md")
target_link_options(test_format_source PRIVATE -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc)
fsmeta_unit_test(test_format_digest test_format_digest.c LINKS fsmeta_format)
fsmeta_unit_test(test_format_cursor test_format_cursor.c LINKS fsmeta_format)

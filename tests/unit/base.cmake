fsmeta_unit_test(test_base_error test_base_error.c LINKS fsmeta_base)
fsmeta_unit_test(test_base_memory test_base_memory.c LINKS fsmeta_base)
fsmeta_unit_test(test_base_path test_base_path.c LINKS fsmeta_base)
fsmeta_unit_test(test_base_text test_base_text.c LINKS fsmeta_base)
fsmeta_unit_test(test_base_file test_base_file.c LINKS fsmeta_base Threads::Threads)
fsmeta_unit_test(test_base_spool test_base_spool.c LINKS fsmeta_base)

# File systems that lack something, and disks that fail, are played by the tests.
target_link_options(test_base_file PRIVATE -Wl,--wrap=renameat2,--wrap=renameat,--wrap=unlinkat,--wrap=fsync)
target_link_options(test_base_spool PRIVATE -Wl,--wrap=pwrite,--wrap=pwrite64,--wrap=open,--wrap=open64)
fsmeta_unit_test(test_base_temporary test_base_temporary.c LINKS fsmeta_base)
fsmeta_unit_test(test_base_sort test_base_sort.c LINKS fsmeta_base)

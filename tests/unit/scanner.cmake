foreach(module content deep filesystem folder guide scope threads trouble walk)
  fsmeta_unit_test(test_scanner_${module} test_scanner_${module}.c LINKS fsmeta_scanner)
endforeach()

# File systems that lie about their UUID, and listings that do not tell types.
target_link_options(test_scanner_filesystem PRIVATE -Wl,--wrap=ioctl)
target_link_options(test_scanner_scope PRIVATE -Wl,--wrap=syscall)
# A kernel without openat2(2), and threads that cannot be had.
target_link_options(test_scanner_content PRIVATE -Wl,--wrap=syscall -Wl,--wrap=pthread_create)

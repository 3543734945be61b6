foreach(module deep filesystem folder trouble walk)
  fsmeta_unit_test(test_scanner_${module} test_scanner_${module}.c LINKS fsmeta_scanner)
endforeach()

fsmeta_unit_test(test_db_ord test_db_ord.c LINKS fsmeta_db)
fsmeta_unit_test(test_db_history test_db_history.c LINKS fsmeta_db)
fsmeta_unit_test(test_db_file test_db_file.c LINKS fsmeta_db PkgConfig::SQLITE)
fsmeta_unit_test(test_db_shapes test_db_shapes.c LINKS fsmeta_db)

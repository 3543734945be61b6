fsmeta_unit_test(test_archive_track test_archive_track.c LINKS fsmeta_archive)
fsmeta_unit_test(test_archive_segments test_archive_segments.c LINKS fsmeta_archive)
fsmeta_unit_test(test_archive_recordings test_archive_recordings.c LINKS fsmeta_archive)
fsmeta_unit_test(test_archive_fsv test_archive_fsv.c LINKS fsmeta_archive Threads::Threads)
# What tests/oracle/test_archive.py feeds videos with.
add_executable(test_archive_feed test_archive_feed.c)
target_link_libraries(test_archive_feed PRIVATE fsmeta_archive)

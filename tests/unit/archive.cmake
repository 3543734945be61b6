fsmeta_unit_test(test_archive_track test_archive_track.c LINKS fsmeta_archive)
fsmeta_unit_test(test_archive_segments test_archive_segments.c LINKS fsmeta_archive)
fsmeta_unit_test(test_archive_recordings test_archive_recordings.c LINKS fsmeta_archive)
fsmeta_unit_test(test_archive_fsv test_archive_fsv.c LINKS fsmeta_archive Threads::Threads)
fsmeta_unit_test(test_archive_frame_store test_archive_frame_store.c LINKS fsmeta_archive Threads::Threads)
fsmeta_unit_test(test_archive_survey test_archive_survey.c LINKS fsmeta_archive)
fsmeta_unit_test(test_archive_events test_archive_events.c LINKS fsmeta_archive)
# What tests/oracle/test_archive.py feeds videos with.
add_executable(test_archive_feed test_archive_feed.c)
target_link_libraries(test_archive_feed PRIVATE fsmeta_archive)
# What tests/oracle/test_archive_kill.py kills.
add_executable(test_archive_writer test_archive_writer.c)
target_link_libraries(test_archive_writer PRIVATE fsmeta_archive Threads::Threads)

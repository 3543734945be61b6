# fsmeta_pytest(NAME FILE LABELS labels...): one pytest file as one test.
#
# Debian's python3 is asked first: the modules come from Debian packages, and a python3 that
# stands in front of it in PATH seldom has them.
include_guard(GLOBAL)

option(FSMETA_REQUIRE_PYTHON "Fail where the tests in Python cannot run" OFF)
set(FSMETA_PYTHON "" CACHE STRING "Python interpreter with pytest, protobuf, zstandard, xxhash")
# In the cache, because the folders that include this file are siblings.
set(FSMETA_PYTEST_WORKS FALSE CACHE INTERNAL "")

set(candidates "${FSMETA_PYTHON}" /usr/bin/python3 python3)
foreach(candidate IN LISTS candidates)
  if(candidate)
    execute_process(
      COMMAND "${candidate}" -c "import pytest, google.protobuf, zstandard, xxhash"
      RESULT_VARIABLE result OUTPUT_QUIET ERROR_QUIET)
    if(result EQUAL 0)
      set(FSMETA_PYTHON "${candidate}" CACHE STRING "" FORCE)
      set(FSMETA_PYTEST_WORKS TRUE CACHE INTERNAL "")
      break()
    endif()
  endif()
endforeach()
if(NOT FSMETA_PYTEST_WORKS)
  set(words "No python3 with pytest, protobuf, zstandard and xxhash: "
    "run `scripts/install-packages test`")
  string(JOIN "" words ${words})
  if(FSMETA_REQUIRE_PYTHON)
    message(FATAL_ERROR "${words}")
  endif()
  message(WARNING "${words}; the command line tests and oracles are left out")
endif()

function(fsmeta_pytest name file)
  cmake_parse_arguments(ARG "" "" "LABELS" ${ARGN})
  if(NOT FSMETA_PYTEST_WORKS)
    return()
  endif()
  add_test(NAME ${name}
    COMMAND "${FSMETA_PYTHON}" -B -m pytest -q -p no:cacheprovider
      -W error::pytest.PytestUnknownMarkWarning "${CMAKE_CURRENT_SOURCE_DIR}/${file}"
    WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}")
  set_tests_properties(${name} PROPERTIES
    TIMEOUT ${FSMETA_TEST_TIMEOUT}
    LABELS "${ARG_LABELS}"
    ENVIRONMENT "FSMETA=$<TARGET_FILE:fsmeta>;PYTHONDONTWRITEBYTECODE=1")
endfunction()

# SPDX-License-Identifier: MIT
# MUSTER_COMMIT and SOURCE_DATE_EPOCH: which commit is built, and when that commit was made. The time of the build is
# never used, so that the same commit gives the same binary. /api/dispatch/v1/version tells both.
#
# In this order: what the builder says (-DMUSTER_COMMIT=..., the environment's SOURCE_DATE_EPOCH), git, and what
# `git archive` wrote into cmake/commit.txt. Without any of them the commit is "unknown", and the date is that of CHANGELOG.md.
set(MUSTER_COMMIT "" CACHE STRING "Commit that is built; empty: asked of git")

file(READ ${CMAKE_SOURCE_DIR}/cmake/commit.txt muster_archived)
if(muster_archived MATCHES "^([0-9a-f]+) ([0-9]+)")
    set(muster_commit ${CMAKE_MATCH_1})
    set(muster_date ${CMAKE_MATCH_2})
else()
    execute_process(COMMAND git log -1 "--format=%H %ct" WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
        OUTPUT_VARIABLE muster_from_git ERROR_QUIET RESULT_VARIABLE muster_no_git)
    if(muster_from_git MATCHES "^([0-9a-f]+) ([0-9]+)")
        set(muster_commit ${CMAKE_MATCH_1})
        set(muster_date ${CMAKE_MATCH_2})
    else()
        set(muster_commit unknown)
        file(TIMESTAMP ${CMAKE_SOURCE_DIR}/CHANGELOG.md muster_date "%s" UTC)
    endif()
endif()
if(NOT MUSTER_COMMIT)
    string(SUBSTRING ${muster_commit} 0 12 MUSTER_COMMIT)
endif()
# string(TIMESTAMP) gives the time that stands in this variable.
if(NOT DEFINED ENV{SOURCE_DATE_EPOCH})
    set(ENV{SOURCE_DATE_EPOCH} ${muster_date})
endif()
string(TIMESTAMP MUSTER_BUILD_TIME "%Y-%m-%dT%H:%M:%SZ" UTC)

# SPDX-License-Identifier: MIT
# `cmake --install build`: what a machine needs that serves without a container.
include(GNUInstallDirs)
set(MUSTER_UNIT_DIR lib/systemd/system CACHE STRING "Where systemd units go, below the prefix; empty: nowhere")

install(TARGETS muster RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})

# Units name the program by its full path.
set(MUSTER_PROGRAM ${CMAKE_INSTALL_FULL_BINDIR}/muster)
# With the prefix /usr, CMake makes this /etc; with any other prefix it stays below that.
set(MUSTER_CONFIG_DIR ${CMAKE_INSTALL_FULL_SYSCONFDIR}/muster)
foreach(unit muster-node@.service muster-sink.service muster-migrate.service)
    configure_file(${CMAKE_SOURCE_DIR}/packaging/systemd/${unit}.in ${CMAKE_BINARY_DIR}/packaging/${unit} @ONLY)
    if(MUSTER_UNIT_DIR)
        install(FILES ${CMAKE_BINARY_DIR}/packaging/${unit} DESTINATION ${MUSTER_UNIT_DIR})
    endif()
endforeach()
# They may hold passwords: only root reads them, and systemd reads them as root.
install(FILES ${CMAKE_SOURCE_DIR}/packaging/muster.conf ${CMAKE_SOURCE_DIR}/packaging/sink.conf DESTINATION ${CMAKE_INSTALL_FULL_SYSCONFDIR}/muster
    PERMISSIONS OWNER_READ OWNER_WRITE)

file(GLOB muster_pages CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/docs/*.md)
install(FILES ${muster_pages} DESTINATION ${CMAKE_INSTALL_DOCDIR}/docs)
install(FILES ${CMAKE_SOURCE_DIR}/README.md ${CMAKE_SOURCE_DIR}/SECURITY.md ${CMAKE_SOURCE_DIR}/CHANGELOG.md
    DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES ${CMAKE_SOURCE_DIR}/haproxy.cfg ${CMAKE_SOURCE_DIR}/compose.yaml DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples)
install(FILES ${CMAKE_SOURCE_DIR}/helm/muster/files/alerts.yaml DESTINATION ${CMAKE_INSTALL_DATADIR}/muster/prometheus)
install(FILES ${CMAKE_SOURCE_DIR}/helm/muster/files/dashboard.json DESTINATION ${CMAKE_INSTALL_DATADIR}/muster/grafana)

# The manual page and the completions come from the program itself, so they cannot fall behind its table of settings.
# A cross build cannot run it, and builds for tests are not installed.
if(NOT CMAKE_CROSSCOMPILING AND NOT MUSTER_SANITIZE AND NOT MUSTER_FUZZ)
    set(muster_said ${CMAKE_BINARY_DIR}/packaging)
    add_custom_command(OUTPUT ${muster_said}/muster.1 ${muster_said}/muster.bash ${muster_said}/_muster ${muster_said}/muster.fish
        COMMAND muster help --man > ${muster_said}/muster.1
        COMMAND muster help --completion bash > ${muster_said}/muster.bash
        COMMAND muster help --completion zsh > ${muster_said}/_muster
        COMMAND muster help --completion fish > ${muster_said}/muster.fish
        DEPENDS muster VERBATIM)
    add_custom_target(muster_help ALL DEPENDS ${muster_said}/muster.1)
    install(FILES ${muster_said}/muster.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
    install(FILES ${muster_said}/muster.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME muster)
    install(FILES ${muster_said}/_muster DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions)
    install(FILES ${muster_said}/muster.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
endif()

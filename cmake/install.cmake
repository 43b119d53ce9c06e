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

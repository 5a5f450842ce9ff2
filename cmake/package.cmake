# What is installed where, and the .deb. `scripts/package` builds it; prefix /usr:
#   DESTDIR=/somewhere cmake --install build/release
include(GNUInstallDirs)

set(FANFARE_MAINTAINER "Fanfare maintainers <fanfare@packages.invalid>" CACHE STRING
    "Maintainer of the package: name <address>")

set(doc ${CMAKE_INSTALL_DATADIR}/doc/fanfare)
install(TARGETS fanfare RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES config/package/fanfare.yaml DESTINATION /etc/fanfare
        PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ)
install(FILES systemd/fanfare.service systemd/fanfare.socket DESTINATION /lib/systemd/system)
install(FILES README.md CHANGELOG.md config/package/copyright docs/operators.md docs/clients.md
              docs/protocol.md DESTINATION ${doc})
install(FILES config/fanfare.yaml DESTINATION ${doc}/examples)
install(DIRECTORY config/examples/ DESTINATION ${doc}/examples FILES_MATCHING PATTERN *.yaml)

# Compressed as Debian wants them, without times. SOURCE_DATE_EPOCH gives the date.
set(packed ${CMAKE_BINARY_DIR}/packed)
string(TIMESTAMP date "%a, %d %b %Y %H:%M:%S +0000" UTC)
file(CONFIGURE OUTPUT ${packed}/changelog @ONLY CONTENT
"fanfare (@PROJECT_VERSION@) bookworm; urgency=medium

  * What has changed is in CHANGELOG.md, beside this file.

 -- @FANFARE_MAINTAINER@  @date@
")
configure_file(docs/fanfare.1 ${packed}/fanfare.1 COPYONLY)
install(CODE "
  execute_process(COMMAND gzip -9nkf changelog fanfare.1
                  WORKING_DIRECTORY \"${packed}\" COMMAND_ERROR_IS_FATAL ANY)")
install(FILES ${packed}/changelog.gz DESTINATION ${doc})
install(FILES ${packed}/fanfare.1.gz DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME fanfare)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT ${FANFARE_MAINTAINER})
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "push gateway: WebSocket and SSE to clients, REST to backends")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
"Clients hold a WebSocket or a stream of Server-Sent Events open, backends
publish with one REST call, and everybody in the room gets the message, in
order. A client that was away says what it saw last and gets exactly the
rest, or is told that it cannot.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
    OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_DEPENDS adduser) # libraries: from the binary
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
foreach(script IN ITEMS conffiles postinst prerm postrm)
  list(APPEND CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${PROJECT_SOURCE_DIR}/config/package/${script})
endforeach()
include(CPack)

# Headers, a relocatable CMake package and a pkg-config file. Nothing in them depends on the machine.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(gatescan_package_dir ${CMAKE_INSTALL_DATADIR}/cmake/gatescan)

install(TARGETS gatescan EXPORT gatescan_targets
        FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT gatescan_targets NAMESPACE gatescan:: FILE gatescan-targets.cmake
        DESTINATION ${gatescan_package_dir})

configure_package_config_file(cmake/gatescan-config.cmake.in gatescan-config.cmake
  INSTALL_DESTINATION ${gatescan_package_dir}
  NO_SET_AND_CHECK_MACRO NO_CHECK_REQUIRED_COMPONENTS_MACRO)
# Before 1.0 a minor version may break callers.
write_basic_package_version_file(gatescan-config-version.cmake
  COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/gatescan-config.cmake
              ${CMAKE_CURRENT_BINARY_DIR}/gatescan-config-version.cmake
        DESTINATION ${gatescan_package_dir})

# The prefix is written relative to the .pc file, so that an installed tree can be moved.
set(gatescan_pc_dir ${CMAKE_INSTALL_DATADIR}/pkgconfig)
cmake_path(ABSOLUTE_PATH gatescan_pc_dir BASE_DIRECTORY ${CMAKE_INSTALL_PREFIX}
           OUTPUT_VARIABLE absolute_pc_dir)
cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX BASE_DIRECTORY ${absolute_pc_dir}
           OUTPUT_VARIABLE gatescan_pc_to_prefix)
configure_file(cmake/gatescan.pc.in gatescan.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/gatescan.pc DESTINATION ${gatescan_pc_dir})

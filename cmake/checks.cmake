# The rules of the house that a script can check. Each script proves first that it finds
# its errors.
find_package(Python3 3.9 REQUIRED COMPONENTS Interpreter)
set(checks ${PROJECT_SOURCE_DIR}/cmake/checks/check_sources.py)
gatescan_add_test(checks.self COMMAND ${Python3_EXECUTABLE} ${checks} --self-test)
gatescan_add_test(checks.sources COMMAND ${Python3_EXECUTABLE} ${checks} ${PROJECT_SOURCE_DIR})

set(readme_check ${PROJECT_SOURCE_DIR}/cmake/checks/check_readme.py)
# The model of the CUDA backend's times still knows every loop of the kernels that it was read from.
gatescan_add_test(checks.cuda_model
  COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/bench/cuda/model.py --self-test)
gatescan_add_test(checks.cuda_kit COMMAND sh ${PROJECT_SOURCE_DIR}/bench/cuda/rehearse.sh)
gatescan_add_test(checks.readme_self COMMAND ${Python3_EXECUTABLE} ${readme_check} --self-test)
gatescan_add_test(checks.readme COMMAND ${Python3_EXECUTABLE} ${readme_check} ${PROJECT_SOURCE_DIR})

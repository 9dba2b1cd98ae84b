/* suite - the main() of a unit test: runs a table of CUnit tests, returns non-zero on failure. */
#ifndef DUGNAD_TESTS_UNIT_SUITE_H
#define DUGNAD_TESTS_UNIT_SUITE_H

#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <stddef.h>

struct suite_test {
    const char *name;
    CU_TestFunc function;
};

#define SUITE_TEST(function)                                                                       \
    {                                                                                              \
#function, function                                                                        \
    }

/* Runs all tests of `name`; the exit code for main. */
static inline int suite_run(const char *name, const struct suite_test *tests, size_t count)
{
    if (CU_initialize_registry() != CUE_SUCCESS) {
        return 1;
    }
    CU_pSuite suite = CU_add_suite(name, NULL, NULL);
    for (size_t i = 0; suite != NULL && i < count; i++) {
        if (CU_add_test(suite, tests[i].name, tests[i].function) == NULL) {
            suite = NULL;
        }
    }
    if (suite == NULL) {
        CU_cleanup_registry();
        return 1;
    }
    CU_basic_set_mode(CU_BRM_VERBOSE);
    (void)CU_basic_run_tests();
    int failed = CU_get_number_of_failures() != 0 || CU_get_number_of_tests_run() != count;
    CU_cleanup_registry();
    return failed;
}

#endif

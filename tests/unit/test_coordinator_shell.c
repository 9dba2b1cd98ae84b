#include "tests/unit/suite.h"
int main(void){return 1;}

#pragma once

bool right_without_exceptions();
void fail_without_exceptions(void (*told)(const char*));

// What a part of a mixed program offers the others: declared without a flag in sight.
#pragma once

bool first_is_right();
bool second_is_right();

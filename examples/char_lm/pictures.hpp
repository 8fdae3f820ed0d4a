// The two pictures: the loss curve, and the surrogate attention map of a sentence.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "trainer.hpp"

namespace char_lm {

/// Training loss, held-out bits per byte, and the trigram as a line to get under.
void draw_loss(const std::filesystem::path& file, const training_state& state, double trigram_bits,
               const std::string& title);

/// One panel a map: row t shows what the output at character t takes from the characters before it.
/// Each row is divided by its largest magnitude. A map is named `unit` 1, 2, ...
void draw_attention(const std::filesystem::path& file, const std::vector<matrix>& maps,
                    const std::string& unit, const std::string& sentence, const std::string& title);

}  // namespace char_lm

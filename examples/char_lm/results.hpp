// What is shown after training: generated text, the agreement of streaming and training, the time
// of each mode, and the two pictures.
#pragma once

#include "options.hpp"
#include "trainer.hpp"

namespace char_lm {

/// Prints, and writes to the output folder.
void show_results(const options& o, const corpus& text, const training_state& trained,
                  double trigram_bits);

}  // namespace char_lm

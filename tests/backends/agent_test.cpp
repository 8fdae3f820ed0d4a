// Every agent of the CPU backend is what it says it is, in every form of work that it is made for.

#include <gtest/gtest.h>

#include "../support/own_cell.hpp"

namespace {

using namespace gatescan::detail;
using gatescan::elementwise, gatescan::gateloop, gatescan::gla, gatescan::kernel_form,
    gatescan::wide;

template <class A>
constexpr bool is_what_it_says = differentiable_agent<A>&& scanning_agent<A> ==
                                 A::scans&& adjoint_scanning_agent<A> == A::adjoint_scans;

template <template <kernel_form> class Agent>
constexpr bool in_every_form = is_what_it_says<Agent<kernel_form::steps>>&&
    is_what_it_says<Agent<kernel_form::chunks>>&& is_what_it_says<Agent<kernel_form::segments>>&&
        is_what_it_says<Agent<kernel_form::attention>>;

template <kernel_form Form>
using real_matrix = matrix_agent<gla, float, Form>;
template <kernel_form Form>
using complex_matrix = matrix_agent<gateloop, double, Form>;
template <kernel_form Form>
using real_channels = diagonal_agent<elementwise, float, false, Form>;
template <kernel_form Form>
using complex_channels = diagonal_agent<elementwise, double, true, Form>;
template <kernel_form Form>
using heads_as_channels = scalar_heads_agent<gateloop, wide<float>, Form, true>;

TEST(agents, do_what_their_concepts_ask_for) {
  EXPECT_TRUE(in_every_form<real_matrix>);
  EXPECT_TRUE(in_every_form<complex_matrix>);
  EXPECT_TRUE(in_every_form<real_channels>);
  EXPECT_TRUE(in_every_form<complex_channels>);
  EXPECT_TRUE(in_every_form<heads_as_channels>);
  EXPECT_TRUE((is_what_it_says<stepwise_agent<own::cell, float, kernel_form::steps>>));
}

TEST(agents, of_one_token_too) {
  EXPECT_TRUE((token_agent<matrix_token_agent<gla, float>>));
  EXPECT_TRUE((token_agent<matrix_token_agent<gateloop, double>>));
  EXPECT_TRUE((token_agent<diagonal_token_agent<elementwise, float, false>>));
  EXPECT_TRUE((token_agent<diagonal_token_agent<elementwise, double, true>>));
  EXPECT_TRUE((token_agent<token_by_forward<heads_as_channels<kernel_form::steps>>>));
}

TEST(agents, that_cannot_cut_time_say_so) {
  EXPECT_TRUE((real_matrix<kernel_form::segments>::scans));
  EXPECT_FALSE((heads_as_channels<kernel_form::chunks>::scans));
  EXPECT_FALSE((stepwise_agent<own::cell, float, kernel_form::steps>::scans));
}

}  // namespace

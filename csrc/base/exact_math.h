// exp, log, sin, cos, tanh and pow in double precision with the same bits on every machine and compiler.
// libm picks variants by CPU and version, so nothing on the path to a bit may call it; these use + - * / alone.
// Errors, measured against 100 digits: exp, log, sin, cos below 1 unit in the last place, tanh below 2.1, pow below
// 0.51.
#pragma once

namespace nextoken {

double exact_exp(double x);
/// NaN for x < 0, -infinity for 0.
double exact_log(double x);
/// Angles up to 2^45 in magnitude (far beyond any position of a token); NaN above, where no answer would be honest.
double exact_sin(double x);
double exact_cos(double x);
double exact_tanh(double x);
/// x to the power y with the special cases of IEEE 754 (pow(x, 0) is 1, pow(negative, fraction) is NaN).
double exact_pow(double x, double y);

} // namespace nextoken

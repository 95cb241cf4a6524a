/* A model with the interface of a library compiled by BridgeStan (bridgestan.h): five correlated normals.
 *
 *   parameters { matrix[2, 2] theta; real<lower=0> sigma; }      unconstrained: theta column by column, log(sigma)
 *   transformed parameters { real total = sum(theta); }
 *
 * log density -1/2 (x - m)' P (x - m), P tridiagonal, m[i] = shift + i, shift from the data {"shift": number}. As a
 * Stan model may, it raises a domain error: where log(sigma) > m[4] + 3.
 */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIM 5

int bs_major_version = BS_MAJOR;
int bs_minor_version = BS_MINOR;
int bs_patch_version = BS_PATCH;

static const double SCALE[DIM] = {0.1, 0.4, 1.0, 4.0, 0.5};
static const double COUPLING = -0.45; /* of neighbours, in units of their scales */

typedef struct {
  double shift;
} model_t;

static int fail(char **error, const char *text) {
  if (error) {
    *error = malloc(strlen(text) + 1);
    strcpy(*error, text);
  }
  return 1;
}

model_t *bs_model_construct(const char *data, unsigned int seed, char **error) {
  model_t *model = malloc(sizeof *model);
  const char *colon = strchr(data, ':');
  model->shift = 0.5;
  if (data[0] && (!colon || sscanf(colon + 1, " %lf", &model->shift) != 1)) {
    free(model);
    fail(error, "variable does not exist; processing stage=data initialization; variable name=shift");
    return NULL;
  }
  return model;
}

void bs_model_destruct(model_t *model) { free(model); }
void bs_free_error_msg(char *text) { free(text); }
int bs_set_print_callback(void (*callback)(const char *, int), char **error) { return 0; }
const char *bs_name(const model_t *model) { return "gaussian_model"; }
const char *bs_model_info(const model_t *model) { return "Stan flags:\n\tSTAN_THREADS=" THREADS "\n"; }
int bs_param_num(const model_t *model, bool include_tp, bool include_gq) { return DIM + include_tp; }
int bs_param_unc_num(const model_t *model) { return DIM; }
const char *bs_param_names(const model_t *model, bool include_tp, bool include_gq) {
  return include_tp ? "theta.1.1,theta.2.1,theta.1.2,theta.2.2,sigma,total" : "theta.1.1,theta.2.1,theta.1.2,theta.2.2,sigma";
}
const char *bs_param_unc_names(const model_t *model) { return "theta.1.1,theta.2.1,theta.1.2,theta.2.2,sigma"; }

int bs_param_constrain(const model_t *model, bool include_tp, bool include_gq, const double *x, double *out, void *rng,
                       char **error) {
  double total = 0.0;
  for (int i = 0; i < 4; i++) total += out[i] = x[i];
  out[4] = exp(x[4]);
  if (include_tp) out[5] = total;
  return 0;
}

int bs_param_unconstrain(const model_t *model, const double *values, double *out, char **error) {
  for (int i = 0; i < 4; i++) out[i] = values[i];
  out[4] = log(values[4]);
  return 0;
}
int bs_param_unconstrain_json(const model_t *model, const char *json, double *out, char **error) {
  return fail(error, "not in this library");
}
int bs_param_initialize(const model_t *model, const char *json, void *rng, double radius, int tries, bool jacobian,
                        double *out, char **error) {
  return fail(error, "not in this library");
}

static void times_precision(const double *v, double *out) {
  for (int i = 0; i < DIM; i++) {
    out[i] = v[i] / (SCALE[i] * SCALE[i]);
    if (i > 0) out[i] += COUPLING * v[i - 1] / (SCALE[i] * SCALE[i - 1]);
    if (i < DIM - 1) out[i] += COUPLING * v[i + 1] / (SCALE[i] * SCALE[i + 1]);
  }
}

int bs_log_density_gradient(const model_t *model, bool propto, bool jacobian, const double *x, double *value, double *gradient,
                            char **error) {
  double centred[DIM];
  for (int i = 0; i < DIM; i++) centred[i] = x[i] - model->shift - i;
  if (centred[4] > 3.0) return fail(error, "normal_lpdf: Scale parameter is inf, but must be positive finite!");
  times_precision(centred, gradient);
  *value = jacobian && propto ? 0.0 : NAN; /* a sampler wants both */
  for (int i = 0; i < DIM; i++) {
    *value -= 0.5 * centred[i] * gradient[i];
    gradient[i] = -gradient[i];
  }
  return 0;
}

int bs_log_density(const model_t *model, bool propto, bool jacobian, const double *x, double *value, char **error) {
  double gradient[DIM];
  return bs_log_density_gradient(model, propto, jacobian, x, value, gradient, error);
}

int bs_log_density_hessian(const model_t *model, bool propto, bool jacobian, const double *x, double *value, double *gradient,
                           double *hessian, char **error) {
  return fail(error, "not in this library");
}

int bs_log_density_hessian_vector_product(const model_t *model, bool propto, bool jacobian, const double *x, const double *v,
                                          double *value, double *product, char **error) {
#ifdef NO_SECOND_DERIVATIVES
  return fail(error, "second derivatives are not implemented");
#endif
  times_precision(v, product);
  for (int i = 0; i < DIM; i++) product[i] = -product[i];
  return bs_log_density(model, propto, jacobian, x, value, error);
}

void *bs_rng_construct(unsigned int seed, char **error) { return malloc(1); }
void bs_rng_destruct(void *rng) { free(rng); }

// Eight schools in Stan; takes the data of the NumPyro example.
data {
  int<lower=0> J;
  vector[J] y;
  vector<lower=0>[J] sigma;
}
parameters {
  real mu;
  real<lower=0> tau;
  vector[J] standardised;
}
transformed parameters {
  vector[J] theta = mu + tau * standardised;
}
model {
  mu ~ normal(0, 5);
  tau ~ cauchy(0, 5);
  standardised ~ std_normal();
  y ~ normal(theta, sigma);
}

import bambi
import numpy as np
import pandas as pd

rng = np.random.default_rng(2)
x = rng.normal(5.0, 2.0, 40)
model = bambi.Model("y ~ x", pd.DataFrame({"x": x, "y": 1.0 + 0.5 * x + rng.normal(0.0, 0.7, 40)}))

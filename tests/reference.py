"""The formulas of the network, written naively, as the oracle of the tests.

Nothing here comes from skreg: only numpy and math are imported. The code is slow on
purpose. It computes in float64 and follows the formulas letter by letter::

    Zl = Wl A(l-1) + bl       Al = g(Zl) * Dl / keep_prob       (hidden layers)
    ZL = WL A(L-1) + bL       AL = sigmoid(ZL) or softmax(ZL)   (output layer)

    J   = 1/M sum_i w_i CE_i + sum_l lambd_l / (2 M) sum(Wl**2)     M = sum_i w_i
    dZL = w * (AL - Y)
    dWl = 1/M dZl A(l-1)^T + lambd_l / M Wl       dbl = 1/M sum_i dZl
    dAl = W(l+1)^T dZ(l+1) * Dl / keep_prob       dZl = dAl * g'(Zl)

Conventions
-----------
Columns are samples: ``X`` is (n_x, m), ``Y`` is (1, m), (n_labels, m) or, one-hot,
(n_classes, m). ``parameters`` is a dict ``"W1"``, ``"b1"``, ..., ``"WL"``, ``"bL"``
with ``Wl`` (n_l, n_(l-1)) and ``bl`` (n_l, 1), for any number of hidden layers from
one up. No function changes what it is given.

``activation`` is one of ``ACTIVATIONS``. ``output`` is ``"logistic"`` (a sigmoid for
each row: binary with one row, multilabel with more) or ``"softmax"``. ``masks`` is None
(no dropout) or a list with one 0/1 array (n_l, m) for each hidden layer; a layer whose
entry is None has no dropout and is not rescaled. ``keep_prob`` is one float or one for
each hidden layer; ``lambd`` is one float or one for each weight matrix, the output
layer's included.
"""

import math

import numpy as np

# Parameters --------------------------------------------------------------------------


def count_layers(parameters):
    """L, the number of weight matrices: the hidden layers and the output layer."""
    return sum(name.startswith("W") for name in parameters)


def flatten(parameters):
    """theta = (W1, b1, W2, b2, ..., WL, bL), each row by row, as one flat vector."""
    pieces = []
    for layer in range(1, count_layers(parameters) + 1):
        for name in (f"W{layer}", f"b{layer}"):
            pieces.append(np.asarray(parameters[name], dtype=float).ravel())
    return np.concatenate(pieces)


def flatten_gradients(gradients):
    """(dW1, db1, ..., dWL, dbL) as one flat vector, in the order of `flatten`."""
    return flatten({name[1:]: gradients[name] for name in gradients if name[1] in "Wb"})


def unflatten(theta, parameters):
    """The inverse of `flatten`: a new dict with the shapes that `parameters` has."""
    new, start = {}, 0
    for layer in range(1, count_layers(parameters) + 1):
        for name in (f"W{layer}", f"b{layer}"):
            shape = np.shape(parameters[name])
            stop = start + math.prod(shape)
            new[name] = np.array(theta[start:stop], dtype=float).reshape(shape)
            start = stop
    return new


def _one_each(value, n):
    """n floats: `value` repeated, or a sequence of exactly one for each."""
    if np.ndim(value) == 0:
        return [float(value)] * n
    if len(value) != n:
        raise ValueError(f"expected {n} values, got {len(value)}")
    return [float(v) for v in value]


def _weights(sample_weight, n_samples):
    """The weights as floats; 1 for each sample where there are none."""
    if sample_weight is None:
        return np.ones(n_samples)
    weights = np.asarray(sample_weight, dtype=float)
    if weights.shape != (n_samples,):
        raise ValueError(f"expected {n_samples} weights, got shape {weights.shape}")
    return weights


# Activations -------------------------------------------------------------------------


def sigmoid(Z):
    """sigmoid(z) = 1 / (1 + exp(-z)) = exp(z) / (1 + exp(z)), without overflow."""
    Z = np.asarray(Z, dtype=float)
    small = np.exp(-np.abs(Z))
    return np.where(Z >= 0, 1 / (1 + small), small / (1 + small))


def softmax(Z):
    """softmax(z)_k = exp(z_k) / sum_j exp(z_j), one column at a time."""
    Z = np.asarray(Z, dtype=float)
    A = np.empty_like(Z)
    for i in range(Z.shape[1]):
        exponentials = np.exp(Z[:, i] - Z[:, i].max())
        A[:, i] = exponentials / exponentials.sum()
    return A


# g(Z) and g'(Z), from Z itself; that of ReLU is 0 at 0.
ACTIVATIONS = {
    "identity": (lambda Z: np.array(Z), lambda Z: np.ones_like(Z)),
    "logistic": (sigmoid, lambda Z: sigmoid(Z) * sigmoid(-Z)),
    "tanh": (np.tanh, lambda Z: 1 - np.tanh(Z) ** 2),
    "relu": (lambda Z: np.maximum(Z, 0.0), lambda Z: (Z > 0).astype(float)),
}


def activate(Z, activation):
    """g(Z)."""
    if activation not in ACTIVATIONS:
        raise ValueError(f"unknown activation {activation!r}")
    return ACTIVATIONS[activation][0](Z)


def activation_derivative(Z, activation):
    """g'(Z)."""
    if activation not in ACTIVATIONS:
        raise ValueError(f"unknown activation {activation!r}")
    return ACTIVATIONS[activation][1](Z)


# Forward -----------------------------------------------------------------------------


def forward(
    X, parameters, activation="relu", output="logistic", masks=None, keep_prob=1.0
):
    """Zl = Wl A(l-1) + bl, Al = g(Zl) * Dl / keep_prob, and AL from ZL, with A0 = X.

    Parameters
    ----------
    X : array of shape (n_x, m)
    parameters : dict
        ``"W1"``, ``"b1"``, ..., ``"WL"``, ``"bL"``.
    activation : {"identity", "logistic", "tanh", "relu"}
        g, of all hidden layers.
    output : {"logistic", "softmax"}
    masks : list of L - 1 arrays of shape (n_l, m), or None
        The 0/1 masks D1, D2, ... An entry may be None.
    keep_prob : float or sequence of L - 1 floats
        Divides where there is a mask; without one it has no effect.

    Returns
    -------
    cache : dict
        ``"Z1"``, ``"A1"``, ..., ``"ZL"``, ``"AL"``. The hidden ``"Al"`` are masked and
        rescaled.
    """
    n_layers = count_layers(parameters)
    if masks is not None and len(masks) != n_layers - 1:
        raise ValueError(f"expected {n_layers - 1} masks, got {len(masks)}")
    keep_probs = _one_each(keep_prob, n_layers - 1)

    cache = {}
    A = np.asarray(X, dtype=float)
    for layer in range(1, n_layers + 1):
        W = np.asarray(parameters[f"W{layer}"], dtype=float)
        b = np.asarray(parameters[f"b{layer}"], dtype=float)
        Z = W @ A + b
        if layer < n_layers:
            A = activate(Z, activation)
            if masks is not None and masks[layer - 1] is not None:
                A = A * np.asarray(masks[layer - 1]) / keep_probs[layer - 1]
        elif output == "logistic":
            A = sigmoid(Z)
        elif output == "softmax":
            A = softmax(Z)
        else:
            raise ValueError(f"unknown output {output!r}")
        cache[f"Z{layer}"], cache[f"A{layer}"] = Z, A
    return cache


# Cost --------------------------------------------------------------------------------


def _minus_log(probability):
    """-log(p), infinite at 0."""
    return -math.log(probability) if probability > 0 else math.inf


def log_loss_from_logit(z, y):
    """-y log(sigmoid(z)) - (1 - y) log(1 - sigmoid(z)), exact for any finite z.

    With softplus(z) = log(1 + exp(z)), it is y softplus(-z) + (1 - y) softplus(z).

    Parameters
    ----------
    z : float
    y : float in [0, 1]

    Returns
    -------
    loss : float
    """

    def softplus(t):
        return max(t, 0.0) + math.log1p(math.exp(-abs(t)))

    z, y = float(z), float(y)
    return y * softplus(-z) + (1 - y) * softplus(z)


def softmax_log_loss(zs, k):
    """-log(softmax(zs)_k) = log(sum_j exp(z_j - z_k)), exact for any finite zs.

    Parameters
    ----------
    zs : sequence of floats
        The logits of one sample.
    k : int
        Its class.

    Returns
    -------
    loss : float
    """
    differences = [float(z) - float(zs[k]) for z in zs]
    largest = differences.index(max(differences))
    others = math.fsum(
        math.exp(difference - differences[largest])
        for j, difference in enumerate(differences)
        if j != largest
    )
    return differences[largest] + math.log1p(others)


def cross_entropy(a, y, output="logistic"):
    """CE of one sample, from its column `a` of AL and its column `y` of Y.

    Logistic: -sum_k (y_k log(a_k) + (1 - y_k) log(1 - a_k)), the sum over the labels.
    Softmax: -sum_k y_k log(a_k).
    """
    total = 0.0
    for a_k, y_k in zip(map(float, a), map(float, y), strict=True):
        if y_k > 0:
            total += y_k * _minus_log(a_k)
        if output == "logistic" and y_k < 1:
            total += (1 - y_k) * _minus_log(1 - a_k)
    return total


def cross_entropy_from_logits(z, y, output="logistic"):
    """CE of one sample, from its column `z` of ZL and its column `y` of Y.

    The number that `cross_entropy` gives, without the loss of digits where a
    probability comes near to 0 or 1.
    """
    total = 0.0
    for k, y_k in enumerate(map(float, y)):
        if output == "logistic":
            total += log_loss_from_logit(z[k], y_k)
        elif y_k > 0:
            total += y_k * softmax_log_loss(z, k)
    return total


def penalty(parameters, lambd):
    """sum_l lambd_l / 2 sum(Wl**2), not yet divided by M; no bias is in it."""
    n_layers = count_layers(parameters)
    lambds = _one_each(lambd, n_layers)
    total = 0.0
    for layer in range(1, n_layers + 1):
        for weight in np.ravel(parameters[f"W{layer}"]):
            total += lambds[layer - 1] / 2 * float(weight) ** 2
    return total


def _mean_cost(loss, columns, Y, parameters, lambd, sample_weight, output):
    if output not in ("logistic", "softmax"):
        raise ValueError(f"unknown output {output!r}")
    columns, Y = np.asarray(columns, dtype=float), np.asarray(Y, dtype=float)
    if columns.shape != Y.shape:
        raise ValueError(f"shapes differ: {columns.shape} and {Y.shape}")
    n_samples = Y.shape[1]
    weights = _weights(sample_weight, n_samples)
    total_weight = weights.sum()
    data = 0.0
    for i in range(n_samples):
        if weights[i] > 0:
            data += weights[i] * loss(columns[:, i], Y[:, i], output)
    return float(data / total_weight + penalty(parameters, lambd) / total_weight)


def cost(AL, Y, parameters, lambd, sample_weight=None, output="logistic"):
    """J = 1/M sum_i w_i CE_i + sum_l lambd_l / (2 M) sum(Wl**2), with M = sum_i w_i.

    Parameters
    ----------
    AL : array of shape (n_L, m)
        Probabilities. One of 0 for the class that occurred makes J infinite; see
        `cost_from_logits`.
    Y : array of shape (n_L, m)
    parameters : dict
    lambd : float or sequence of L floats
    sample_weight : array of shape (m,), or None
        None is a weight of 1 for each sample, so that M = m.
    output : {"logistic", "softmax"}

    Returns
    -------
    J : float
    """
    return _mean_cost(cross_entropy, AL, Y, parameters, lambd, sample_weight, output)


def cost_from_logits(ZL, Y, parameters, lambd, sample_weight=None, output="logistic"):
    """J as in `cost`, from ZL in the place of AL: finite and exact at any logit."""
    loss = cross_entropy_from_logits
    return _mean_cost(loss, ZL, Y, parameters, lambd, sample_weight, output)


def objective(
    X,
    Y,
    parameters,
    lambd,
    activation="relu",
    output="logistic",
    masks=None,
    keep_prob=1.0,
    sample_weight=None,
):
    """J(theta) of the network on X and Y: `cost_from_logits` after `forward`."""
    cache = forward(X, parameters, activation, output, masks, keep_prob)
    ZL = cache[f"Z{count_layers(parameters)}"]
    return cost_from_logits(ZL, Y, parameters, lambd, sample_weight, output)


# Backward ----------------------------------------------------------------------------


def gradients(
    X,
    Y,
    parameters,
    lambd,
    activation="relu",
    output="logistic",
    masks=None,
    keep_prob=1.0,
    sample_weight=None,
    total_weight=None,
):
    """dWl = 1/(sum_i w_i) dZl A(l-1)^T + lambd_l / M Wl, from dZL = w * (AL - Y) down.

    Without `total_weight`, M = sum_i w_i, and this is the gradient of `objective`.

    Parameters
    ----------
    X, Y, parameters, lambd, activation, output, masks, keep_prob, sample_weight
        As in `forward` and `cost`.
    total_weight : float, or None
        The M that divides `lambd`, where X holds a part of the training rows only.

    Returns
    -------
    gradients : dict
        ``"dZL"``, ``"dWL"``, ``"dbL"``, ``"dA(L-1)"``, ``"dZ(L-1)"``, ..., ``"dW1"``,
        ``"db1"``. The ``"dZl"`` and ``"dAl"`` are those of sum_i w_i CE_i (not divided
        by a sum of weights); ``"dAl"`` has its layer's mask and rescaling in it.
    """
    n_layers = count_layers(parameters)
    X, Y = np.asarray(X, dtype=float), np.asarray(Y, dtype=float)
    weights = _weights(sample_weight, X.shape[1])
    batch_weight = weights.sum()
    if total_weight is None:
        total_weight = batch_weight
    lambds = _one_each(lambd, n_layers)
    keep_probs = _one_each(keep_prob, n_layers - 1)

    cache = forward(X, parameters, activation, output, masks, keep_prob)
    cache["A0"] = X
    if cache[f"A{n_layers}"].shape != Y.shape:
        raise ValueError(f"expected Y of shape {cache[f'A{n_layers}'].shape}")

    result = {}
    dZ = weights * (cache[f"A{n_layers}"] - Y)
    for layer in range(n_layers, 0, -1):
        W = np.asarray(parameters[f"W{layer}"], dtype=float)
        result[f"dZ{layer}"] = dZ
        result[f"dW{layer}"] = (
            dZ @ cache[f"A{layer - 1}"].T / batch_weight
            + lambds[layer - 1] / total_weight * W
        )
        result[f"db{layer}"] = dZ.sum(axis=1, keepdims=True) / batch_weight
        if layer > 1:
            dA = W.T @ dZ
            if masks is not None and masks[layer - 2] is not None:
                dA = dA * np.asarray(masks[layer - 2]) / keep_probs[layer - 2]
            dZ = dA * activation_derivative(cache[f"Z{layer - 1}"], activation)
            result[f"dA{layer - 1}"] = dA
    return result


def minibatch_gradients(
    X,
    Y,
    parameters,
    lambd,
    rows,
    activation="relu",
    output="logistic",
    masks=None,
    keep_prob=1.0,
    sample_weight=None,
):
    """1/|B| sum_(i in B) v_i g_i + lambd / M W, with v = n w / M and M = sum_i w_i.

    g_i is the gradient of CE_i, n the number of training rows and M their whole
    weight, over all of them and not over the batch; so the v have the mean 1. Without
    weights, v_i = 1 and M = n. The |B| / n-weighted sum over the batches of one epoch
    is the gradient of the whole.

    Parameters
    ----------
    X, Y
        The whole training set, columns being samples.
    parameters, lambd, activation, output, keep_prob
        As in `gradients`.
    rows : sequence of ints
        B: the columns of X and Y that are in the batch.
    masks : list of L - 1 arrays of shape (n_l, |B|), or None
        The batch's own masks, in the order of `rows`.
    sample_weight : array of shape (n,), or None
        The weights of the whole training set, all positive (rows of weight 0 are
        dropped before).

    Returns
    -------
    gradients : dict
        As in `gradients`; the ``"dZl"`` and ``"dAl"`` are those of
        sum_(i in B) v_i CE_i.
    """
    X, Y = np.asarray(X, dtype=float), np.asarray(Y, dtype=float)
    n_samples = X.shape[1]
    n_layers = count_layers(parameters)
    weights = _weights(sample_weight, n_samples)
    if not (weights > 0).all():
        raise ValueError("drop the rows without a positive weight first")
    rows = np.asarray(rows, dtype=int)
    total_weight = weights.sum()
    normalised = weights * n_samples / total_weight
    lambds = _one_each(lambd, n_layers)

    # Each row alone: with a weight of 1 and no penalty, `gradients` gives its g_i.
    result = {}
    for position, row in enumerate(rows):
        row_masks = None
        if masks is not None:
            row_masks = [
                None if mask is None else np.asarray(mask)[:, [position]]
                for mask in masks
            ]
        g = gradients(
            X[:, [row]],
            Y[:, [row]],
            parameters,
            0.0,
            activation,
            output,
            row_masks,
            keep_prob,
        )
        for name, value in g.items():
            term = normalised[row] * value
            if name[1] in "Wb":
                result[name] = result.get(name, 0.0) + term / len(rows)
            else:
                result.setdefault(name, []).append(term)
    for name, value in result.items():
        if name[1] in "ZA":
            result[name] = np.hstack(value)
    for layer in range(1, n_layers + 1):
        W = np.asarray(parameters[f"W{layer}"], dtype=float)
        result[f"dW{layer}"] = (
            result[f"dW{layer}"] + lambds[layer - 1] / total_weight * W
        )
    return result


def central_difference(function, theta, step=1e-6):
    """df/dtheta_j = (f(theta + h e_j) - f(theta - h e_j)) / (2 h), one j at a time.

    Parameters
    ----------
    function : callable
        From a flat vector to a float.
    theta : array of shape (n,)
    step : float
        h.

    Returns
    -------
    gradient : array of shape (n,)
    """
    theta = np.asarray(theta, dtype=float)
    gradient = np.empty(theta.size)
    for j in range(theta.size):
        above, below = theta.copy(), theta.copy()
        above[j] += step
        below[j] -= step
        # What was really stepped: theta_j + h is rounded.
        width = above[j] - below[j]
        gradient[j] = (function(above) - function(below)) / width
    return gradient


# Training ----------------------------------------------------------------------------


def gradient_descent(
    X,
    Y,
    parameters,
    lambd,
    learning_rate,
    n_steps,
    masks=None,
    keep_prob=1.0,
    sample_weight=None,
    activation="relu",
    output="logistic",
):
    """Wl <- Wl - learning_rate dWl, bl <- bl - learning_rate dbl, n_steps times.

    Parameters
    ----------
    X, Y, parameters, lambd, keep_prob, sample_weight, activation, output
        As in `gradients`. Each step takes all of X and Y.
    learning_rate : float or sequence of n_steps floats
    n_steps : int
    masks : list of n_steps lists of L - 1 arrays, or None
        The masks of each step.

    Returns
    -------
    parameters : dict
        New arrays; those given are left as they were.
    """
    rates = _one_each(learning_rate, n_steps)
    new = {name: np.array(value, dtype=float) for name, value in parameters.items()}
    for step in range(n_steps):
        g = gradients(
            X,
            Y,
            new,
            lambd,
            activation,
            output,
            None if masks is None else masks[step],
            keep_prob,
            sample_weight,
        )
        for name in new:
            new[name] = new[name] - rates[step] * g[f"d{name}"]
    return new


def _steps(gradient, learning_rate, n_steps):
    """(a function of theta and step, the rate of each step)."""
    if callable(gradient):
        if n_steps is None:
            raise ValueError("a gradient function needs n_steps")
        return gradient, _one_each(learning_rate, n_steps)
    n_steps = len(gradient) if n_steps is None else n_steps
    rates = _one_each(learning_rate, n_steps)
    return (lambda theta, step: np.asarray(gradient[step], dtype=float)), rates


def sgd_momentum(theta, gradient, learning_rate, momentum=0.9, n_steps=None):
    """v <- momentum v - learning_rate g(theta), theta <- theta + v, from v = 0.

    Parameters
    ----------
    theta : array of shape (n,)
    gradient : list of arrays of shape (n,), or callable
        The gradient of each step, or ``gradient(theta, step)`` with step = 0, 1, ...
    learning_rate : float or sequence of n_steps floats
    momentum : float
        With 0 it is plain gradient descent.
    n_steps : int, or None
        None where `gradient` is a list: as many as it has.

    Returns
    -------
    trajectory : array of shape (n_steps + 1, n)
        The start, then theta after each step.
    """
    gradient, rates = _steps(gradient, learning_rate, n_steps)
    trajectory = [np.array(theta, dtype=float)]
    velocity = np.zeros_like(trajectory[0])
    for step, rate in enumerate(rates):
        g = gradient(trajectory[-1], step)
        velocity = momentum * velocity - rate * g
        trajectory.append(trajectory[-1] + velocity)
    return np.array(trajectory)


def nesterov(theta, gradient, learning_rate, momentum=0.9, n_steps=None):
    """v <- momentum v - learning_rate g, theta <- theta + momentum v - learning_rate g.

    Both use the one gradient g = g(theta); the second uses the new v. Parameters and
    result as in `sgd_momentum`.
    """
    gradient, rates = _steps(gradient, learning_rate, n_steps)
    trajectory = [np.array(theta, dtype=float)]
    velocity = np.zeros_like(trajectory[0])
    for step, rate in enumerate(rates):
        g = gradient(trajectory[-1], step)
        velocity = momentum * velocity - rate * g
        trajectory.append(trajectory[-1] + momentum * velocity - rate * g)
    return np.array(trajectory)


def adam(
    theta,
    gradient,
    learning_rate=0.001,
    beta_1=0.9,
    beta_2=0.999,
    epsilon=1e-8,
    n_steps=None,
):
    """m <- beta_1 m + (1 - beta_1) g, v <- beta_2 v + (1 - beta_2) g**2, and theta.

    At step t = 1, 2, ..., with both biases corrected in the rate and epsilon outside::

        rate_t = learning_rate sqrt(1 - beta_2**t) / (1 - beta_1**t)
        theta <- theta - rate_t m / (sqrt(v) + epsilon)

    Parameters and result as in `sgd_momentum`.
    """
    gradient, rates = _steps(gradient, learning_rate, n_steps)
    trajectory = [np.array(theta, dtype=float)]
    m = np.zeros_like(trajectory[0])
    v = np.zeros_like(trajectory[0])
    for step, rate in enumerate(rates):
        t = step + 1
        g = gradient(trajectory[-1], step)
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g**2
        rate_t = rate * math.sqrt(1 - beta_2**t) / (1 - beta_1**t)
        trajectory.append(trajectory[-1] - rate_t * m / (np.sqrt(v) + epsilon))
    return np.array(trajectory)


def learning_rates(
    schedule,
    learning_rate_init,
    n_epochs,
    samples_per_epoch=None,
    power_t=0.5,
    max_iter=None,
):
    """The learning rate of each of the epochs 0, 1, ..., n_epochs - 1.

    - constant: learning_rate_init
    - invscaling: learning_rate_init in the first epoch, then, set at the end of each,
      learning_rate_init / (t + 1)**power_t, where t samples have been seen so far
    - cosine: learning_rate_init (1 + cos(pi epoch / max_iter)) / 2

    Parameters
    ----------
    schedule : {"constant", "invscaling", "cosine"}
    learning_rate_init : float
    n_epochs : int
    samples_per_epoch : int
        For ``"invscaling"``.
    power_t : float
        For ``"invscaling"``.
    max_iter : int
        For ``"cosine"``.

    Returns
    -------
    rates : list of n_epochs floats
    """
    rates = []
    for epoch in range(n_epochs):
        rate = learning_rate_init
        if schedule == "invscaling" and epoch > 0:
            samples_seen = epoch * samples_per_epoch
            rate = learning_rate_init / (samples_seen + 1) ** power_t
        elif schedule == "cosine":
            rate = learning_rate_init * (1 + math.cos(math.pi * epoch / max_iter)) / 2
        elif schedule not in ("constant", "invscaling"):
            raise ValueError(f"unknown schedule {schedule!r}")
        rates.append(float(rate))
    return rates


def near_equal_sizes(n, batch_size):
    """k = ceil(n / batch_size) sizes, the sum n, no two more than 1 apart.

    The larger ones come first: n mod k of floor(n / k) + 1, the rest of floor(n / k).
    A `batch_size` above n is one batch of n.
    """
    k = -(-n // batch_size)
    smaller, n_larger = divmod(n, k)
    return [smaller + 1] * n_larger + [smaller] * (k - n_larger)

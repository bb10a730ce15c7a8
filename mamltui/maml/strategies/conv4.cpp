// Meta-gradient and scores of one Conv-4 task at a time, on one core, with every array of the task
// near that core's cache. The mathematics, its names and its order are those of analytic.py; read
// that first. What differs is that no patches are formed: products take their rows where they lie.
//
// Layout: images and activations are channels-last, with the zeros around them that the SAME
// windows of the next layer cover; everything else is rows [examples * positions, filters].
// Kernels [3, 3, in, out] and the head are one run of memory in the order of the forward pass, what
// the normalisations have is another, [layers, shift | scale | mean | variance, filters].

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

namespace {

constexpr int LAYERS = 4;
constexpr double NORM_EPSILON = 1e-3;

#if defined(__AVX512F__)
constexpr int VECTOR_BYTES = 64, TILE_VECTORS = 4;
#elif defined(__AVX__)
constexpr int VECTOR_BYTES = 32, TILE_VECTORS = 2;
#else
constexpr int VECTOR_BYTES = 16, TILE_VECTORS = 4;
#endif
constexpr int TILE_ROWS = 6;    // accumulators of a tile fill the vector registers
constexpr int BLOCK_ROWS = 48;  // rows of a product that stay in the first-level cache

// A function of its own in a profile.
#define STAGE __attribute__((noinline))

template <typename T>
struct Lanes {
    static constexpr int count = VECTOR_BYTES / sizeof(T);
    typedef T type __attribute__((vector_size(VECTOR_BYTES)));
    typedef T loose __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(T)), may_alias));
};
template <typename T>
using Vector = typename Lanes<T>::type;

template <typename T>
inline Vector<T> load(const T* from) {
    return *reinterpret_cast<const typename Lanes<T>::loose*>(from);
}
template <typename T>
inline void store(T* to, Vector<T> values) {
    *reinterpret_cast<typename Lanes<T>::loose*>(to) = values;
}
template <typename T>
inline Vector<T> all(T value) {
    return value - Vector<T>{};
}

// ---- Products -----------------------------------------------------------------------------------

// out[m][0 .. N lanes) (+)= sum over k of a[m][k] * b[k * stride ..)
template <typename T, int M, int N>
inline __attribute__((always_inline)) void rows_tile(const T* const* a, int length, const T* b,
                                                     int stride, T* const* out, int column,
                                                     bool fresh) {
    constexpr int L = Lanes<T>::count;
    const T* row[M];
    Vector<T> sum[M][N];
    for (int m = 0; m < M; m++) {
        row[m] = a[m];
        for (int n = 0; n < N; n++)
            sum[m][n] = fresh ? Vector<T>{} : load(out[m] + column + n * L);
    }
    for (int k = 0; k < length; k++, b += stride) {
        Vector<T> right[N];
        for (int n = 0; n < N; n++) right[n] = load(b + n * L);
        for (int m = 0; m < M; m++) {
            const Vector<T> left = all(row[m][k]);
            for (int n = 0; n < N; n++) sum[m][n] += left * right[n];
        }
    }
    for (int m = 0; m < M; m++)
        for (int n = 0; n < N; n++) store(out[m] + column + n * L, sum[m][n]);
}

// total[k * stride ..) += sum over rows of a[row][k] * g[row][0 .. N lanes), for M values of k
template <typename T, int M, int N>
inline __attribute__((always_inline)) void outer_tile(const T* const* a, const T* const* g, int rows,
                                                      int k, int column, T* total, int stride) {
    constexpr int L = Lanes<T>::count;
    Vector<T> sum[M][N];
    for (int m = 0; m < M; m++)
        for (int n = 0; n < N; n++) sum[m][n] = Vector<T>{};
    for (int r = 0; r < rows; r++) {
        const T* left = a[r] + k;
        Vector<T> right[N];
        for (int n = 0; n < N; n++) right[n] = load(g[r] + column + n * L);
        for (int m = 0; m < M; m++) {
            const Vector<T> value = all(left[m]);
            for (int n = 0; n < N; n++) sum[m][n] += value * right[n];
        }
    }
    for (int m = 0; m < M; m++)
        for (int n = 0; n < N; n++) {
            T* to = total + (k + m) * stride + column + n * L;
            store(to, load(to) + sum[m][n]);
        }
}

// Calls tile<M, N> with M the rows left (at most TILE_ROWS) and N whole vectors of columns.
template <int N, typename Tile>
inline void with_rows(int left, Tile tile) {
    switch (std::min(left, TILE_ROWS)) {
        case 6: return tile(std::integral_constant<int, 6>(), std::integral_constant<int, N>());
        case 5: return tile(std::integral_constant<int, 5>(), std::integral_constant<int, N>());
        case 4: return tile(std::integral_constant<int, 4>(), std::integral_constant<int, N>());
        case 3: return tile(std::integral_constant<int, 3>(), std::integral_constant<int, N>());
        case 2: return tile(std::integral_constant<int, 2>(), std::integral_constant<int, N>());
        case 1: return tile(std::integral_constant<int, 1>(), std::integral_constant<int, N>());
    }
}

// out[row] = sum over segments of a[segment][row][0 .. length) @ b[segment][length, columns]
template <typename T>
STAGE void rows_product(int rows, int segments, const T* const (*a)[BLOCK_ROWS], const T* const* b,
                  int length, int columns, T* const* out) {
    constexpr int L = Lanes<T>::count, WIDE = TILE_VECTORS * L;
    for (int s = 0; s < segments; s++) {
        int column = 0;
        auto sweep = [&](auto vectors) {
            for (int r = 0; r < rows; r += TILE_ROWS)
                with_rows<decltype(vectors)::value>(rows - r, [&](auto m, auto n) {
                    rows_tile<T, decltype(m)::value, decltype(n)::value>(
                        a[s] + r, length, b[s] + column, columns, out + r, column, s == 0);
                });
        };
        for (; column + WIDE <= columns; column += WIDE)
            sweep(std::integral_constant<int, TILE_VECTORS>());
        for (; column < columns; column += L) sweep(std::integral_constant<int, 1>());
    }
}

// total[length, columns] += a[rows, length]^T @ g[rows, columns]
template <typename T>
STAGE void outer_product(int rows, const T* const* a, int length, const T* const* g, int columns,
                   T* total) {
    constexpr int L = Lanes<T>::count, WIDE = TILE_VECTORS * L;
    for (int k = 0; k < length; k += TILE_ROWS) {
        int column = 0;
        auto tile = [&](auto m, auto n) {
            outer_tile<T, decltype(m)::value, decltype(n)::value>(a, g, rows, k, column, total,
                                                                  columns);
        };
        for (; column + WIDE <= columns; column += WIDE) with_rows<TILE_VECTORS>(length - k, tile);
        for (; column < columns; column += L) with_rows<1>(length - k, tile);
    }
}

// ---- Shapes -------------------------------------------------------------------------------------

// One layer, [examples, in, in, inputs] -> [examples, out, out, filters].
struct LayerShape {
    int in, out, inputs, filters;
    int start() const { return in % 2; }        // zeros in front of the first row and column
    int padded() const { return 2 * out + 1; }  // rows and columns that the windows cover
    size_t image() const { return size_t(padded()) * padded() * inputs; }
    int positions() const { return out * out; }
    size_t kernel() const { return size_t(9) * inputs * filters; }
};

enum Field { SHIFT, SCALE, MEAN, VARIANCE, FIELDS };  // of a normalisation
constexpr int TENSORS = LAYERS + 2;                   // kernels, head's weight and bias

struct Network {
    int way, filters;
    LayerShape layer[LAYERS];
    size_t kernel_at[LAYERS], head_at, bias_at, parameters;
    size_t ends[TENSORS];  // where each tensor ends

    Network(int way, int channels, int size, int filters) : way(way), filters(filters) {
        size_t at = 0;
        int inputs = channels;
        for (int l = 0; l < LAYERS; l++) {
            layer[l] = {size, (size + 1) / 2, inputs, filters};
            size = layer[l].out;
            inputs = filters;
            kernel_at[l] = at;
            ends[l] = at += layer[l].kernel();
        }
        head_at = at;
        ends[LAYERS] = bias_at = at += size_t(filters) * way;
        ends[LAYERS + 1] = parameters = at + way;
    }
    size_t norm_at(int l, Field field) const { return (size_t(l) * FIELDS + field) * filters; }
    size_t norms() const { return size_t(LAYERS) * FIELDS * filters; }
};

// What one task has learned: kernels and head, and the normalisations' values.
template <typename T>
struct Values {
    const T *weights, *norms;
};

// ---- Convolution --------------------------------------------------------------------------------

// Visits the rows (example, i, j) of a layer's output in blocks: fill gets a row's slot in its block,
// its number, and where its window begins in the padded input; work gets the rows of a full block.
template <typename Fill, typename Work>
inline void in_blocks(int examples, const LayerShape& shape, Fill fill, Work work) {
    int filled = 0;
    size_t row = 0;
    for (int e = 0; e < examples; e++)
        for (int i = 0; i < shape.out; i++)
            for (int j = 0; j < shape.out; j++) {
                size_t window = e * shape.image() +
                                (size_t(2 * i) * shape.padded() + 2 * j) * shape.inputs;
                fill(filled++, row++, window);
                if (filled == BLOCK_ROWS) {
                    work(filled);
                    filled = 0;
                }
            }
    if (filled) work(filled);
}

// z = the convolution of x with kernel (plus that of x2 with kernel2); sums gets its columns' sums.
template <typename T>
STAGE void convolve(int examples, const LayerShape& shape, const T* x, const T* kernel, const T* x2,
              const T* kernel2, T* z, T* sums) {
    constexpr int L = Lanes<T>::count;
    const T* a[6][BLOCK_ROWS];
    T* out[BLOCK_ROWS];
    const T* b[6];
    const int run = 3 * shape.inputs, filters = shape.filters;
    const size_t line = size_t(shape.padded()) * shape.inputs;
    const int segments = x2 ? 6 : 3;
    for (int h = 0; h < 3; h++) {
        b[h] = kernel + size_t(h) * run * filters;
        if (x2) b[3 + h] = kernel2 + size_t(h) * run * filters;
    }
    std::fill(sums, sums + filters, T(0));
    in_blocks(
        examples, shape,
        [&](int slot, size_t row, size_t window) {
            out[slot] = z + row * filters;
            for (int h = 0; h < 3; h++) {
                a[h][slot] = x + window + h * line;
                if (x2) a[3 + h][slot] = x2 + window + h * line;
            }
        },
        [&](int rows) {
            rows_product<T>(rows, segments, a, b, run, filters, out);
            for (int c = 0; c < filters; c += L) {
                Vector<T> sum{};
                for (int r = 0; r < rows; r++) sum += load(out[r] + c);
                store(sums + c, load(sums + c) + sum);
            }
        });
}

// total += the kernel's gradient: patches of x, transposed, times g (plus those of x2 times g2).
template <typename T>
STAGE void kernel_gradient(int examples, const LayerShape& shape, const T* x, const T* g, const T* x2,
                     const T* g2, T* total) {
    const T* a[3][2 * BLOCK_ROWS];
    const T* right[2 * BLOCK_ROWS];
    const int run = 3 * shape.inputs, filters = shape.filters;
    const size_t line = size_t(shape.padded()) * shape.inputs;
    in_blocks(
        examples, shape,
        [&](int slot, size_t row, size_t window) {
            right[slot] = g + row * filters;
            for (int h = 0; h < 3; h++) a[h][slot] = x + window + h * line;
            if (x2) {
                right[BLOCK_ROWS + slot] = g2 + row * filters;
                for (int h = 0; h < 3; h++) a[h][BLOCK_ROWS + slot] = x2 + window + h * line;
            }
        },
        [&](int rows) {
            for (int h = 0; h < 3; h++) {
                T* to = total + size_t(h) * run * filters;
                outer_product<T>(rows, a[h], run, right, filters, to);
                if (x2) outer_product<T>(rows, a[h] + BLOCK_ROWS, run, right + BLOCK_ROWS, filters, to);
            }
        });
}

// [3, 3, in, out] -> [3, 3, out, in]
template <typename T>
STAGE void transpose_kernel(const LayerShape& shape, const T* kernel, T* to) {
    const int rows = shape.inputs, columns = shape.filters;
    for (int tap = 0; tap < 9; tap++, kernel += rows * columns, to += rows * columns)
        for (int r0 = 0; r0 < rows; r0 += 16)
            for (int c = 0; c < columns; c++)
                for (int r = r0; r < std::min(rows, r0 + 16); r++)
                    to[c * rows + r] = kernel[r * columns + c];
}

// gx [examples, in, in, inputs] = the transposed convolution of g (plus that of g2 with flipped2).
// A padded row or column 2i is in windows i and i - 1, at taps 0 and 2; 2i + 1 in window i, tap 1.
template <typename T>
STAGE void input_gradient(int examples, const LayerShape& shape, const T* g, const T* flipped, const T* g2,
                    const T* flipped2, const T* zeros, T* gx) {
    const T* a[8][BLOCK_ROWS];
    T* out[BLOCK_ROWS];
    const T* b[8];
    const int filters = shape.filters, inputs = shape.inputs, size = shape.out;
    const size_t tap_size = size_t(inputs) * filters;
    for (int odd = 0; odd < 4; odd++) {
        const bool odd_row = odd & 2, odd_column = odd & 1;
        int segments = 0;
        int back_row[4], back_column[4];
        for (int h = odd_row; h < 3; h += 2)
            for (int w = odd_column; w < 3; w += 2) {
                back_row[segments] = h == 2;
                back_column[segments] = w == 2;
                b[segments++] = flipped + (3 * h + w) * tap_size;
            }
        const int one = segments;
        if (g2)
            for (int s = 0; s < one; s++) b[segments++] = flipped2 + (b[s] - flipped);
        int filled = 0;
        for (int e = 0; e < examples; e++)
            for (int y = 0; y < shape.in; y++) {
                const int row = y + shape.start();
                if (row % 2 != odd_row) continue;
                for (int x = 0; x < shape.in; x++) {
                    const int column = x + shape.start();
                    if (column % 2 != odd_column) continue;
                    out[filled] = gx + ((size_t(e) * shape.in + y) * shape.in + x) * inputs;
                    for (int s = 0; s < one; s++) {
                        const int i = row / 2 - back_row[s], j = column / 2 - back_column[s];
                        const bool inside = i >= 0 && j >= 0 && i < size && j < size;
                        const size_t at = ((size_t(e) * size + i) * size + j) * filters;
                        a[s][filled] = inside ? g + at : zeros;
                        if (g2) a[one + s][filled] = inside ? g2 + at : zeros;
                    }
                    if (++filled == BLOCK_ROWS) {
                        rows_product<T>(filled, segments, a, b, filters, inputs, out);
                        filled = 0;
                    }
                }
            }
        if (filled) rows_product<T>(filled, segments, a, b, filters, inputs, out);
    }
}

// ---- Passes over a set of examples --------------------------------------------------------------

// What one layer of one pass keeps.
template <typename T>
struct Layer {
    T* input;         // padded images
    T* centred;       // C
    T* output;        // A, inside the next layer's padded input; plain rows after the last layer
    T *mean, *scale;  // of Z; r
    const T* gain;    // s
    T* g_gained;      // gradient of s Y
    T* g_product;
    T* g_correlation;  // r mean(C g), g the gradient of s Y
};

template <typename T>
struct Pass {
    Layer<T> layer[LAYERS];
    T *features, *logits, *probabilities, *g_logits;
};

// Hands out memory; with no base it only counts.
template <typename T>
struct Arena {
    T* base;
    size_t used = 0;
    T* take(size_t count) {
        T* at = base ? base + used : nullptr;
        used += (count + 15) / 16 * 16;
        return at;
    }
};

template <typename T>
struct Examples {
    const Network& net;
    const int count;
    const bool running;  // normalised by running statistics
    T* images;           // padded
    const int64_t* labels = nullptr;
    T *g_output, *sums, *sums2, *factors, *zeros;
    T *flipped, *flipped2;
    struct Tangent {
        T *input, *normalised, *correlation;
    } tangent[LAYERS];
    T *d_features, *d_logits, *dg_logits, *g_features, *dg_gained, *dg_product;

    Examples(const Network& net, int count, bool running, bool curved, Arena<T>& arena)
        : net(net), count(count), running(running) {
        const LayerShape* shape = net.layer;
        const size_t largest = size_t(count) * shape[0].positions() * net.filters;
        images = arena.take(count * shape[0].image());
        g_output = arena.take(largest);
        sums = arena.take(net.filters);
        sums2 = arena.take(net.filters);
        factors = arena.take(net.filters);
        zeros = arena.take(net.filters);
        flipped = arena.take(shape[1].kernel());
        g_features = arena.take(size_t(count) * net.filters);
        if (!curved) return;
        flipped2 = arena.take(shape[1].kernel());
        for (int l = 0; l < LAYERS; l++) {
            tangent[l].input = l ? arena.take(count * shape[l].image()) : nullptr;
            tangent[l].normalised = arena.take(size_t(count) * shape[l].positions() * net.filters);
            tangent[l].correlation = arena.take(net.filters);
        }
        d_features = arena.take(size_t(count) * net.filters);
        d_logits = arena.take(size_t(count) * net.way);
        dg_logits = arena.take(size_t(count) * net.way);
        dg_gained = arena.take(largest);
        dg_product = arena.take(largest);
    }

    Pass<T> new_pass(Arena<T>& arena) const {
        Pass<T> pass;
        for (int l = 0; l < LAYERS; l++) {
            const size_t rows = size_t(count) * net.layer[l].positions() * net.filters;
            Layer<T>& layer = pass.layer[l];
            layer.input = l ? pass.layer[l - 1].output : images;
            layer.centred = arena.take(rows);
            layer.output = arena.take(l + 1 < LAYERS ? count * net.layer[l + 1].image() : rows);
            layer.mean = arena.take(net.filters);
            layer.scale = arena.take(net.filters);
            layer.g_gained = arena.take(rows);
            layer.g_product = arena.take(rows);
            layer.g_correlation = arena.take(net.filters);
        }
        pass.features = arena.take(size_t(count) * net.filters);
        pass.logits = arena.take(size_t(count) * net.way);
        pass.probabilities = arena.take(size_t(count) * net.way);
        pass.g_logits = arena.take(size_t(count) * net.way);
        return pass;
    }

    // images [count, channels, size, size], as they come.
    STAGE void see(const T* from, const int64_t* its_labels) {
        labels = its_labels;
        const LayerShape& shape = net.layer[0];
        const size_t pixels = size_t(shape.in) * shape.in;
        for (int e = 0; e < count; e++)
            for (int y = 0; y < shape.in; y++)
                for (int x = 0; x < shape.in; x++) {
                    T* to = images + e * shape.image() +
                            (size_t(y + shape.start()) * shape.padded() + x + shape.start()) *
                                shape.inputs;
                    for (int c = 0; c < shape.inputs; c++)
                        to[c] = from[(size_t(e) * shape.inputs + c) * pixels + y * shape.in + x];
                }
    }

    // Visits the lines (example, i) of layer l: where one begins among plain rows, where in the
    // activation, which the next layer has with zeros around it, and its length.
    template <typename Visit>
    void each_line(int l, Visit visit) const {
        const int size = net.layer[l].out, filters = net.filters;
        size_t row = 0;
        for (int e = 0; e < count; e++)
            for (int i = 0; i < size; i++) {
                size_t at = row;
                if (l + 1 < LAYERS) {
                    const LayerShape& next = net.layer[l + 1];
                    at = e * next.image() +
                         (size_t(i + next.start()) * next.padded() + next.start()) * filters;
                }
                visit(row, at, size_t(size) * filters);
                row += size_t(size) * filters;
            }
    }

    // Logits at values; normalised with the statistics of another pass, if one is given.
    STAGE void forward(Pass<T>& pass, Values<T> values, const Pass<T>* statistics = nullptr) const {
        constexpr int L = Lanes<T>::count;
        const int filters = net.filters;
        for (int l = 0; l < LAYERS; l++) {
            const LayerShape& shape = net.layer[l];
            Layer<T>& layer = pass.layer[l];
            const int rows = count * shape.positions();
            convolve<T>(count, shape, layer.input, values.weights + net.kernel_at[l], nullptr,
                        nullptr, layer.centred, sums);
            layer.gain = values.norms + net.norm_at(l, SCALE);
            if (statistics) {
                std::copy_n(statistics->layer[l].mean, filters, layer.mean);
                std::copy_n(statistics->layer[l].scale, filters, layer.scale);
            } else if (running) {
                std::copy_n(values.norms + net.norm_at(l, MEAN), filters, layer.mean);
                std::copy_n(values.norms + net.norm_at(l, VARIANCE), filters, layer.scale);
                invert(layer.scale);
            } else {
                for (int c = 0; c < filters; c += L) {
                    const Vector<T> mean = load(sums + c) / all(T(rows));
                    Vector<T> squares{}, part{};
                    for (int r = 0; r < rows; r++) {
                        const Vector<T> off = load(layer.centred + size_t(r) * filters + c) - mean;
                        part += off * off;
                        if (r % 64 == 63) squares += part, part = Vector<T>{};
                    }
                    store(layer.mean + c, mean);
                    store(layer.scale + c, (squares + part) / all(T(rows)));
                }
                invert(layer.scale);
            }
            const T* shift = values.norms + net.norm_at(l, SHIFT);
            for (int c = 0; c < filters; c++) sums[c] = layer.scale[c] * layer.gain[c];
            each_line(l, [&](size_t row, size_t at, size_t length) {
                for (size_t p = 0; p < length; p += filters)
                    for (int c = 0; c < filters; c += L) {
                        T* z = layer.centred + row + p + c;
                        const Vector<T> centred = load(z) - load(layer.mean + c);
                        const Vector<T> y = centred * load(sums + c) + load(shift + c);
                        store(z, centred);
                        store(layer.output + at + p + c, y <= 0 ? Vector<T>{} : y);  // NaN stays
                    }
            });
        }
        average(pass.layer[LAYERS - 1].output, pass.features);
        head(pass.features, values.weights + net.head_at, values.weights + net.bias_at, pass.logits,
             false);
    }

    // Variances become r.
    void invert(T* variance) const {
        for (int c = 0; c < net.filters; c++)
            variance[c] = 1 / std::sqrt(variance[c] + T(NORM_EPSILON));
    }

    // total += how far the running statistics in norms are from what the pass saw.
    STAGE void observe(const Pass<T>& pass, const T* norms, T* total) const {
        constexpr int L = Lanes<T>::count;
        const int filters = net.filters;
        for (int l = 0; l < LAYERS; l++) {
            const T *centred = pass.layer[l].centred, *known = norms + net.norm_at(l, MEAN);
            const size_t rows = size_t(count) * net.layer[l].positions();
            T *mean = total + net.norm_at(l, MEAN), *variance = total + net.norm_at(l, VARIANCE);
            for (int c = 0; c < filters; c += L) {
                const Vector<T> apart = load(pass.layer[l].mean + c) - load(known + c);
                Vector<T> sum{}, squares{};
                for (size_t p = c; p < rows * filters; p += filters) {
                    const Vector<T> off = load(centred + p) + apart;
                    sum += off;
                    squares += off * off;
                }
                const Vector<T> before = load(norms + net.norm_at(l, VARIANCE) + c);
                store(mean + c, load(mean + c) - sum / all(T(rows)));
                store(variance + c, load(variance + c) + before - squares / all(T(rows)));
            }
        }
    }

    // [count, positions, filters] -> [count, filters]
    void average(const T* rows, T* features) const {
        const int positions = net.layer[LAYERS - 1].positions(), filters = net.filters;
        for (int e = 0; e < count; e++)
            for (int c = 0; c < filters; c++) {
                T sum = 0;
                for (int p = 0; p < positions; p++)
                    sum += rows[(size_t(e) * positions + p) * filters + c];
                features[size_t(e) * filters + c] = sum / positions;
            }
    }

    // Transpose of average.
    void spread(const T* features, T* rows) const {
        const int positions = net.layer[LAYERS - 1].positions(), filters = net.filters;
        for (int e = 0; e < count; e++)
            for (int p = 0; p < positions; p++)
                for (int c = 0; c < filters; c++)
                    rows[(size_t(e) * positions + p) * filters + c] =
                        features[size_t(e) * filters + c] / positions;
    }

    // logits (+)= features @ weight + bias
    void head(const T* features, const T* weight, const T* bias, T* logits, bool add) const {
        for (int e = 0; e < count; e++) {
            T* to = logits + size_t(e) * net.way;
            for (int n = 0; n < net.way; n++) to[n] = (add ? to[n] : 0) + (bias ? bias[n] : 0);
            for (int c = 0; c < net.filters; c++) {
                const T feature = features[size_t(e) * net.filters + c];
                for (int n = 0; n < net.way; n++) to[n] += feature * weight[c * net.way + n];
            }
        }
    }

    // features (+)= g_logits @ weight^T
    void head_back(const T* logits, const T* weight, T* features, bool add) const {
        for (int e = 0; e < count; e++)
            for (int c = 0; c < net.filters; c++) {
                T sum = add ? features[size_t(e) * net.filters + c] : 0;
                for (int n = 0; n < net.way; n++)
                    sum += logits[size_t(e) * net.way + n] * weight[c * net.way + n];
                features[size_t(e) * net.filters + c] = sum;
            }
    }

    // total += features^T @ logits
    void head_outer(const T* features, const T* logits, T* total) const {
        for (int e = 0; e < count; e++)
            for (int c = 0; c < net.filters; c++)
                for (int n = 0; n < net.way; n++)
                    total[c * net.way + n] +=
                        features[size_t(e) * net.filters + c] * logits[size_t(e) * net.way + n];
    }

    // Mean cross-entropy and fraction right. answers [count, 2], unless null: whether each is right,
    // and the probability that it was given.
    void judge(const Pass<T>& pass, double* loss, double* accuracy,
               float* answers = nullptr) const {
        double losses = 0;
        int right = 0;
        for (int e = 0; e < count; e++) {
            const T* logits = pass.logits + size_t(e) * net.way;
            const int best = int(std::max_element(logits, logits + net.way) - logits);
            double sum = 0;
            for (int n = 0; n < net.way; n++) sum += std::exp(double(logits[n] - logits[best]));
            losses += std::log(sum) - double(logits[labels[e]] - logits[best]);
            right += best == labels[e];
            if (answers) {
                answers[2 * e] = best == labels[e];
                answers[2 * e + 1] = float(1 / sum);
            }
        }
        *loss = losses / count;
        *accuracy = double(right) / count;
    }

    // to = g where the ReLU let through; sums of it and of it times C.
    STAGE void through_relu(int l, const Layer<T>& layer, const T* g, T* to) const {
        constexpr int L = Lanes<T>::count;
        const int filters = net.filters;
        std::fill(sums, sums + filters, T(0));
        std::fill(sums2, sums2 + filters, T(0));
        each_line(l, [&](size_t row, size_t at, size_t length) {
            for (int c = 0; c < filters; c += L) {
                Vector<T> sum{}, with_centred{};
                for (size_t p = c; p < length; p += filters) {
                    const Vector<T> kept =
                        load(layer.output + at + p) > 0 ? load(g + row + p) : Vector<T>{};
                    store(to + row + p, kept);
                    sum += kept;
                    with_centred += kept * load(layer.centred + row + p);
                }
                store(sums + c, load(sums + c) + sum);
                store(sums2 + c, load(sums2 + c) + with_centred);
            }
        });
    }

    // gain J(u) from the sums of u and of C u; u and result may be the same. Gives r mean(C u) too.
    STAGE void jacobian(int l, const Layer<T>& layer, const T* u, const T* gain, T* result,
                        T* correlation) const {
        constexpr int L = Lanes<T>::count;
        const int filters = net.filters, rows = count * net.layer[l].positions();
        for (int c = 0; c < filters; c++) {
            const T factor = gain ? gain[c] * layer.scale[c] : layer.scale[c];
            correlation[c] = layer.scale[c] * sums2[c] / rows;
            sums2[c] = running ? 0 : correlation[c] * factor * layer.scale[c];
            sums[c] = running ? 0 : sums[c] * factor / rows;
            factors[c] = factor;
        }
        for (size_t p = 0; p < size_t(rows) * filters; p += filters)
            for (int c = 0; c < filters; c += L)
                store(result + p + c, load(u + p + c) * load(factors + c) - load(sums + c) -
                                          load(layer.centred + p + c) * load(sums2 + c));
    }

    // gradient += that of the mean cross-entropy, with a part of the target spread over all classes,
    // times weight; g_norms too, if it is given. Keeps what the Hessian product needs.
    STAGE void backward(Pass<T>& pass, Values<T> values, T* gradient, T* g_norms, T weight = 1,
                        T smoothing = 0) const {
        const int way = net.way, filters = net.filters;
        for (int e = 0; e < count; e++) {
            const T* logits = pass.logits + size_t(e) * way;
            T* p = pass.probabilities + size_t(e) * way;
            const T highest = *std::max_element(logits, logits + way);
            T sum = 0;
            for (int n = 0; n < way; n++) sum += p[n] = std::exp(logits[n] - highest);
            for (int n = 0; n < way; n++) {
                p[n] /= sum;
                const T target = (n == labels[e]) * (1 - smoothing) + smoothing / way;
                pass.g_logits[size_t(e) * way + n] = weight * (p[n] - target) / count;
                gradient[net.bias_at + n] += pass.g_logits[size_t(e) * way + n];
            }
        }
        head_outer(pass.features, pass.g_logits, gradient + net.head_at);
        head_back(pass.g_logits, values.weights + net.head_at, g_features, false);
        spread(g_features, g_output);
        for (int l = LAYERS - 1; l >= 0; l--) {
            const LayerShape& shape = net.layer[l];
            Layer<T>& layer = pass.layer[l];
            through_relu(l, layer, g_output, layer.g_gained);
            if (g_norms)
                for (int c = 0; c < filters; c++) {
                    g_norms[net.norm_at(l, SHIFT) + c] += sums[c];
                    g_norms[net.norm_at(l, SCALE) + c] += layer.scale[c] * sums2[c];
                }
            jacobian(l, layer, layer.g_gained, layer.gain, layer.g_product, layer.g_correlation);
            kernel_gradient<T>(count, shape, layer.input, layer.g_product, nullptr, nullptr,
                               gradient + net.kernel_at[l]);
            if (l > 0) {
                transpose_kernel<T>(shape, values.weights + net.kernel_at[l], flipped);
                input_gradient<T>(count, shape, layer.g_product, flipped, nullptr, nullptr, zeros,
                                  g_output);
            }
        }
    }

    // result += the derivative of backward's gradient in a direction of kernels and head, and d_norms that
    // of the normalisations' gradient. Of a pass normalised by its own statistics.
    STAGE void hessian_product(const Pass<T>& pass, Values<T> values, const T* direction, T* result,
                               T* d_norms) {
        constexpr int L = Lanes<T>::count;
        const int filters = net.filters, way = net.way;
        T* d_last = g_output;
        for (int l = 0; l < LAYERS; l++) {
            const LayerShape& shape = net.layer[l];
            const Layer<T>& layer = pass.layer[l];
            Tangent& d = tangent[l];
            const int rows = count * shape.positions();
            convolve<T>(count, shape, layer.input, direction + net.kernel_at[l], d.input,
                        values.weights + net.kernel_at[l], d.normalised, sums);
            for (int c = 0; c < filters; c += L) {
                Vector<T> sum{};
                for (size_t p = c; p < size_t(rows) * filters; p += filters)
                    sum += load(layer.centred + p) * load(d.normalised + p);
                store(sums2 + c, sum);
            }
            jacobian(l, layer, d.normalised, nullptr, d.normalised, d.correlation);
            T* d_output = l + 1 < LAYERS ? tangent[l + 1].input : d_last;
            each_line(l, [&](size_t row, size_t at, size_t length) {
                for (size_t p = 0; p < length; p += filters)
                    for (int c = 0; c < filters; c += L)
                        store(d_output + at + p + c,
                              load(layer.output + at + p + c) > 0
                                  ? load(d.normalised + row + p + c) * load(layer.gain + c)
                                  : Vector<T>{});
            });
        }
        average(d_last, d_features);
        head(d_features, values.weights + net.head_at, direction + net.bias_at, d_logits, false);
        head(pass.features, direction + net.head_at, nullptr, d_logits, true);
        for (int e = 0; e < count; e++) {
            const T *p = pass.probabilities + size_t(e) * way, *d = d_logits + size_t(e) * way;
            T inner = 0;
            for (int n = 0; n < way; n++) inner += p[n] * d[n];
            for (int n = 0; n < way; n++) {
                dg_logits[size_t(e) * way + n] = p[n] * (d[n] - inner) / count;
                result[net.bias_at + n] += dg_logits[size_t(e) * way + n];
            }
        }
        head_outer(d_features, pass.g_logits, result + net.head_at);
        head_outer(pass.features, dg_logits, result + net.head_at);
        head_back(dg_logits, values.weights + net.head_at, g_features, false);
        head_back(pass.g_logits, direction + net.head_at, g_features, true);
        spread(g_features, g_output);
        for (int l = LAYERS - 1; l >= 0; l--) {
            const LayerShape& shape = net.layer[l];
            const Layer<T>& layer = pass.layer[l];
            const Tangent& d = tangent[l];
            const size_t rows = size_t(count) * shape.positions();
            through_relu(l, layer, g_output, dg_gained);
            // Product rule on r (g - mean g - Y mean(Y g)), with dr = -r^2 mean(Y dZ).
            for (int c = 0; c < filters; c += L) {
                Vector<T> cross{};
                for (size_t p = c; p < rows * filters; p += filters)
                    cross += load(d.normalised + p) * load(layer.g_gained + p);
                const Vector<T> scale = load(layer.scale + c), one_row = all(T(rows));
                T *g_shift = d_norms + net.norm_at(l, SHIFT) + c,
                  *g_scale = d_norms + net.norm_at(l, SCALE) + c;
                store(g_shift, load(g_shift) + load(sums + c));
                store(g_scale, load(g_scale) + load(sums2 + c) * scale + cross);
                const Vector<T> factor = load(layer.gain + c) * scale;
                const Vector<T> mean = load(sums + c) * factor / one_row;
                const Vector<T> correlation = load(sums2 + c) * scale / one_row;
                const Vector<T> of_centred = (correlation + cross / one_row) * scale * factor;
                const Vector<T> of_normalised = load(layer.g_correlation + c) * factor;
                const Vector<T> of_product = load(d.correlation + c) * scale;
                for (size_t p = c; p < rows * filters; p += filters)
                    store(dg_product + p, load(dg_gained + p) * factor - mean -
                                              load(layer.centred + p) * of_centred -
                                              load(d.normalised + p) * of_normalised -
                                              load(layer.g_product + p) * of_product);
            }
            kernel_gradient<T>(count, shape, layer.input, dg_product, d.input, layer.g_product,
                               result + net.kernel_at[l]);
            if (l > 0) {
                transpose_kernel<T>(shape, values.weights + net.kernel_at[l], flipped);
                transpose_kernel<T>(shape, direction + net.kernel_at[l], flipped2);
                input_gradient<T>(count, shape, dg_product, flipped, layer.g_product, flipped2,
                                  zeros, g_output);
            }
        }
    }
};

// ---- A task -------------------------------------------------------------------------------------

// Of the learner, as native.py describes it; all but theta is shared by no one else.
struct Task {
    int way, channels, image_size, filters, support, query, steps, first_order;
    int running;       // the query set is normalised by running statistics
    int scaled;        // normalisation has a scale
    int norm_rows;     // normalisations' own values for so many numbers of inner steps taken
    int rate_rows;     // rates' own values for so many inner steps
    int by_element;    // a rate for each parameter, else for each tensor
    int learns_rates;  // gradients of the rates are wanted
    int reptile;
    double norm_rate;  // size of the inner steps of shift and scale
    double smoothing;  // of the query loss's labels
};

// Gradients, or the parameters themselves: kernels and head [parameters], normalisations [norm_rows,
// layers, fields, filters], rates [rate_rows, parameters or TENSORS].
template <typename T>
struct Learned {
    T *weights, *norms, *rates;
};

template <typename T>
struct Learner {
    const Task& task;
    Network net;
    int steps;
    bool curved, keeps_gradients;
    Arena<T> arena;
    Examples<T> support, query;
    std::vector<Pass<T>> trail;
    Pass<T> query_pass;
    std::vector<T*> values, gradients, looks;
    T *outer, *direction, *curvature, *norms, *g_norms;

    Learner(const Task& task, bool training, T* workspace)
        : task(task),
          net(task.way, task.channels, task.image_size, task.filters),
          steps(task.steps),
          curved(training && !task.first_order && !task.reptile),
          keeps_gradients(training && task.learns_rates),
          arena{workspace},
          support(net, task.support, false, curved, arena),
          query(net, task.query, task.running, false, arena) {
        for (int s = 0; s < std::max(1, curved ? steps : 1); s++)
            trail.push_back(support.new_pass(arena));
        query_pass = query.new_pass(arena);
        for (int s = 0; s < (curved ? steps : 1); s++) values.push_back(arena.take(net.parameters));
        for (int s = 0; s < (keeps_gradients ? steps : 1); s++)
            gradients.push_back(arena.take(net.parameters));
        for (int s = 0; s <= (training ? steps : -1); s++)
            looks.push_back(arena.take(net.parameters));
        outer = arena.take(net.parameters);
        direction = arena.take(net.parameters);
        curvature = arena.take(net.parameters);
        norms = arena.take(net.norms());
        g_norms = arena.take(net.norms());
    }

    void see(int number, const T* support_x, const int64_t* support_y, const T* query_x,
             const int64_t* query_y) {
        const size_t image = size_t(task.channels) * task.image_size * task.image_size;
        const size_t first = size_t(number) * task.support, first_query = size_t(number) * task.query;
        support.see(support_x + first * image, support_y + first);
        query.see(query_x + first_query * image, query_y + first_query);
    }

    size_t norm_row(int step) const {
        return size_t(std::min(step, task.norm_rows - 1)) * net.norms();
    }

    // What there is after so many inner steps.
    Values<T> at(const Learned<T>& theta, int step) const {
        const bool moved = step > 0 && task.norm_rate;
        return {step ? values[curved ? step - 1 : 0] : theta.weights,
                moved ? norms : theta.norms + norm_row(step)};
    }

    // Calls visit with where a tensor begins and ends, its number, and its rates or its rate.
    template <typename Visit>
    void each_rate(const Learned<T>& theta, int step, Visit visit) const {
        const size_t row = std::min(step, task.rate_rows - 1);
        size_t begin = 0;
        for (int t = 0; t < TENSORS; begin = net.ends[t++])
            if (task.by_element)
                visit(begin, net.ends[t], t, theta.rates + row * net.parameters);
            else
                visit(begin, net.ends[t], t, theta.rates[row * TENSORS + t]);
    }

    static T rate_of(T rate, size_t) { return rate; }
    static T rate_of(const T* rates, size_t p) { return rates[p]; }

    // One inner step on a set of examples that were passed forward.
    STAGE void adapt(const Learned<T>& theta, const Examples<T>& examples, Pass<T>& pass, int step) {
        const Values<T> from = at(theta, step);
        T *gradient = gradients[keeps_gradients ? step : 0], *to = values[curved ? step : 0];
        std::fill_n(gradient, net.parameters, T(0));
        std::fill_n(g_norms, net.norms(), T(0));
        examples.backward(pass, from, gradient, task.norm_rate ? g_norms : nullptr);
        each_rate(theta, step, [&](size_t begin, size_t end, int, auto rate) {
            for (size_t p = begin; p < end; p++)
                to[p] = from.weights[p] - rate_of(rate, p) * gradient[p];
        });
        if (!task.norm_rate) return;
        for (int l = 0; l < LAYERS && !task.scaled; l++)
            std::fill_n(g_norms + net.norm_at(l, SCALE), net.filters, T(0));
        for (size_t p = 0; p < net.norms(); p++)
            norms[p] = from.norms[p] - T(task.norm_rate) * g_norms[p];
    }

    // The gradient through the inner loop, added to total.
    void meta_gradient(const Learned<T>& theta, const T* weights, const Learned<T>& total,
                       double* loss, double* accuracy) {
        for (int s = 0; s <= steps; s++) {
            if (weights[s]) {
                query.forward(query_pass, at(theta, s));
                std::fill_n(looks[s], net.parameters, T(0));
                query.backward(query_pass, at(theta, s), looks[s], total.norms + norm_row(s),
                               weights[s], T(task.smoothing));
            }
            Pass<T>& pass = s < steps ? trail[curved ? s : 0] : query_pass;
            if (s < steps) support.forward(pass, at(theta, s));
            if (task.running && s < task.norm_rows)
                (s < steps ? support : query)
                    .observe(pass, at(theta, s).norms, total.norms + norm_row(s));
            if (s < steps) adapt(theta, support, pass, s);
        }
        query.judge(query_pass, loss, accuracy);
        std::copy_n(looks[steps], net.parameters, outer);
        for (int s = steps - 1; s >= 0; s--) {
            back(theta, s, total);
            if (weights[s])
                for (size_t p = 0; p < net.parameters; p++) outer[p] += looks[s][p];
        }
        for (size_t p = 0; p < net.parameters; p++) total.weights[p] += outer[p];
    }

    // The way back through one inner step.
    void back(const Learned<T>& theta, int step, const Learned<T>& total) {
        if (keeps_gradients)
            each_rate(total, step, [&](size_t begin, size_t end, int t, auto) {
                const size_t row = std::min(step, task.rate_rows - 1);
                const T* gradient = gradients[step];
                if (task.by_element) {
                    T* rates = total.rates + row * net.parameters;
                    for (size_t p = begin; p < end; p++) rates[p] -= outer[p] * gradient[p];
                } else {
                    T sum = 0;
                    for (size_t p = begin; p < end; p++) sum += outer[p] * gradient[p];
                    total.rates[row * TENSORS + t] -= sum;
                }
            });
        if (!curved) return;
        each_rate(theta, step, [&](size_t begin, size_t end, int, auto rate) {
            for (size_t p = begin; p < end; p++) direction[p] = rate_of(rate, p) * outer[p];
        });
        std::fill_n(curvature, net.parameters, T(0));
        std::fill_n(g_norms, net.norms(), T(0));
        support.hessian_product(trail[step], at(theta, step), direction, curvature, g_norms);
        for (size_t p = 0; p < net.parameters; p++) outer[p] -= curvature[p];
        T* norms_there = total.norms + norm_row(step);
        for (size_t p = 0; p < net.norms(); p++) norms_there[p] -= g_norms[p];
    }

    // The parameters before the inner loop less those after it, added to total.
    void reptile(const Learned<T>& theta, const Learned<T>& total, double* loss, double* accuracy) {
        for (int s = 0; s < steps; s++) {
            const Examples<T>& examples = s % 2 ? query : support;
            Pass<T>& pass = s % 2 ? query_pass : trail[0];
            examples.forward(pass, at(theta, s));
            adapt(theta, examples, pass, s);
        }
        const Values<T> after = at(theta, steps);
        for (size_t p = 0; p < net.parameters; p++)
            total.weights[p] += theta.weights[p] - after.weights[p];
        for (size_t p = 0; p < net.norms(); p++) total.norms[p] += theta.norms[p] - after.norms[p];
        query.forward(query_pass, after);
        query.judge(query_pass, loss, accuracy);
    }

    // scores [3, 2, steps + 1]: the query set with its own statistics, with the support set's, and
    // the support set; of each loss and accuracy, after 0, 1, ... steps.
    // answers [2, steps + 1, queries, 2]: of the first two, as judge gives them.
    void score(const Learned<T>& theta, bool support_statistics, double* scores, float* answers) {
        const int all = steps + 1;
        const size_t row = size_t(2) * query.count;
        for (int s = 0; s < all; s++) {
            const Values<T> now = at(theta, s);
            support.forward(trail[0], now);
            support.judge(trail[0], scores + 4 * all + s, scores + 5 * all + s);
            query.forward(query_pass, now);
            query.judge(query_pass, scores + s, scores + all + s, answers + s * row);
            if (support_statistics) {
                query.forward(query_pass, now, &trail[0]);
                query.judge(query_pass, scores + 2 * all + s, scores + 3 * all + s,
                            answers + (all + s) * row);
            }
            if (s < steps) adapt(theta, support, trail[0], s);
        }
    }
};

}  // namespace

// SCALAR is float or double; each gets a library of its own.
extern "C" {

// Scalars of workspace that one call needs; all zero before the first call with it.
size_t workspace_size(const Task* task, int training) {
    return Learner<SCALAR>(*task, training, nullptr).arena.used;
}

// Adds the tasks' gradients, and their losses and accuracies, to the sums given. weights [steps + 1]
// are those of the query losses after each number of inner steps.
void meta_gradients(const Task* task, int tasks, const Learned<SCALAR>* theta,
                    const SCALAR* weights, const SCALAR* support_x, const int64_t* support_y,
                    const SCALAR* query_x, const int64_t* query_y, SCALAR* workspace,
                    const Learned<SCALAR>* total, double* metrics) {
    Learner<SCALAR> learner(*task, true, workspace);
    for (int t = 0; t < tasks; t++) {
        learner.see(t, support_x, support_y, query_x, query_y);
        double loss, accuracy;
        if (task->reptile)
            learner.reptile(*theta, *total, &loss, &accuracy);
        else
            learner.meta_gradient(*theta, weights, *total, &loss, &accuracy);
        metrics[0] += loss;
        metrics[1] += accuracy;
    }
}

// Scores [tasks, 3, 2, steps + 1] and answers [tasks, 2, steps + 1, queries, 2], as Learner::score
// describes.
void scores(const Task* task, int tasks, const Learned<SCALAR>* theta, const SCALAR* support_x,
            const int64_t* support_y, const SCALAR* query_x, const int64_t* query_y,
            SCALAR* workspace, int support_statistics, double* scores, float* answers) {
    Learner<SCALAR> learner(*task, false, workspace);
    const size_t all = task->steps + 1;
    for (int t = 0; t < tasks; t++) {
        learner.see(t, support_x, support_y, query_x, query_y);
        learner.score(*theta, support_statistics, scores + t * 6 * all,
                      answers + t * 4 * all * task->query);
    }
}

}  // extern "C"

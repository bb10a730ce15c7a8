// Derivatives of a stack of convolutions for a block of tasks, a task at a time on each core. The
// mathematics, its names and its order are those of analytic.py; read that first. What differs is
// that no patches are formed but those of the first layer, once: products take their rows where they
// lie, or from tiles transformed by Winograd's algorithm.
//
// Layout: images and activations are channels-last, with the zeros around them that the windows of
// the next layer cover; everything else is rows [examples * positions, filters]. Filters are
// padded with zeros to whole vectors. A layer's output has a position for each pooling window, and
// without pooling for each position of the convolution.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <type_traits>
#include <unistd.h>
#include <utility>
#include <vector>

namespace {

constexpr int MOST_LAYERS = 16;
constexpr double NORM_EPSILON = 1e-3;

constexpr int CACHE_LINE = 64;
#if defined(__AVX512F__)
constexpr int VECTOR_BYTES = 64, TILE_VECTORS = 4;
#elif defined(__AVX__)
constexpr int VECTOR_BYTES = 32, TILE_VECTORS = 2;
#else
constexpr int VECTOR_BYTES = 16, TILE_VECTORS = 4;
#endif
constexpr int TILE_ROWS = 6;         // accumulators of a tile fill the vector registers
constexpr int BLOCK_ROWS = 48;       // rows of a product that stay in the first-level cache
constexpr int GRADIENT_ROWS = 96;    // the same where they are summed over
constexpr int PANEL_BYTES = 16384;   // of a weight that stay there between the tiles of a block
constexpr int ROWS_TO_PACK = 512;    // fewer rows do not repay laying a weight out in panels
constexpr int ROWS_AT_ONCE = 2048;   // whose activations stay in the second-level cache
constexpr int MOST_GATHERED = 64;    // values of a patch that is formed

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
inline void add(T* to, Vector<T> values) {
    store(to, load(to) + values);
}
template <typename T>
inline Vector<T> all(T value) {
    return value - Vector<T>{};
}

#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define HAS_SHUFFLES
#endif
#endif
#ifdef HAS_SHUFFLES
// Of two vectors, one element of each in turn, from their first half or from their second.
template <int FROM, typename V, int... I>
inline V zipped(V a, V b, std::integer_sequence<int, I...>) {
    return __builtin_shufflevector(a, b, (FROM + I / 2 + I % 2 * int(sizeof...(I)))...);
}
#endif

// to[f * step + i] = from[i * line + f] for a square of as many rows as a vector holds.
template <typename T>
inline void transpose_square(const T* from, size_t line, T* to, size_t step) {
    constexpr int L = Lanes<T>::count;
#ifdef HAS_SHUFFLES
    constexpr auto order = std::make_integer_sequence<int, L>();
    Vector<T> rows[L], next[L];
    for (int i = 0; i < L; i++) rows[i] = load(from + i * line);
    for (int done = 1; done < L; done *= 2) {
        for (int i = 0; i < L / 2; i++) {
            next[2 * i] = zipped<0>(rows[i], rows[i + L / 2], order);
            next[2 * i + 1] = zipped<L / 2>(rows[i], rows[i + L / 2], order);
        }
        for (int i = 0; i < L; i++) rows[i] = next[i];
    }
    for (int i = 0; i < L; i++) store(to + i * step, rows[i]);
#else
    for (int f = 0; f < L; f++)
        for (int i = 0; i < L; i++) to[f * step + i] = from[i * line + f];
#endif
}

// ---- Products -----------------------------------------------------------------------------------

// A matrix [rows, columns] in memory: column c of row k is at data + c * column + k * row. In panels
// the columns of one tile lie together, row after row.
template <typename T>
struct Weight {
    const T* data;
    size_t column;  // 1, or in panels the number of rows
    size_t row;     // columns; in panels the width of the panel, 0 here
    int first = 0;  // row where a segment begins
    const T* at(int c, int width) const { return data + c * column + first * step(width); }
    size_t step(int width) const { return row ? row : width; }
    Weight from(int k) const { return {data, column, row, k}; }
};

// Rows that lie a stride apart are fetched ahead of their use: the processor does not foresee them.

// out[m][column + 0 .. N lanes) (+)= sum over segments s and k of a[s][m][k] * b[s](k, column ...)
// What lies ahead of the rows is used soon.
template <typename T, int M, int N>
inline __attribute__((always_inline)) void rows_tile(int segments, const T* const (*a)[BLOCK_ROWS],
                                                     int first, int length, const Weight<T>* b,
                                                     T* const* out, int column, bool fresh,
                                                     size_t ahead) {
    constexpr int L = Lanes<T>::count;
    Vector<T> sum[M][N];
    for (int m = 0; m < M; m++)
        for (int n = 0; n < N; n++)
            sum[m][n] = fresh ? Vector<T>{} : load(out[m] + column + n * L);
    for (int s = 0; s < segments; s++) {
        const T* row[M];
        for (int m = 0; m < M; m++) row[m] = a[s][first + m];
        const T* right_row = b[s].at(column, N * L);
        const size_t step = b[s].step(N * L);
        const T* soon = row[0] + ahead;
        for (int k = 0; k < length; k++, right_row += step, soon += 4) {
            __builtin_prefetch(soon, 0, 2);  // to the second-level cache
            Vector<T> right[N];
            for (int n = 0; n < N; n++) right[n] = load(right_row + n * L);
            for (int m = 0; m < M; m++) {
                const Vector<T> left = all(row[m][k]);
                for (int n = 0; n < N; n++) sum[m][n] += left * right[n];
            }
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
        __builtin_prefetch(left + CACHE_LINE / sizeof(T));
        Vector<T> right[N];
        for (int n = 0; n < N; n++) right[n] = load(g[r] + column + n * L);
        for (int m = 0; m < M; m++) {
            const Vector<T> value = all(left[m]);
            for (int n = 0; n < N; n++) sum[m][n] += value * right[n];
        }
    }
#pragma GCC unroll 8
    for (int m = 0; m < M; m++) {
        T* const to = total + size_t(k + m) * stride + column;
        for (int n = 0; n < N; n++) add(to + n * L, sum[m][n]);
    }
}

// Visits the tiles of columns: where one begins, and its vectors (as a type).
template <typename T, typename Visit>
inline void each_tile(int columns, Visit visit) {
    constexpr int L = Lanes<T>::count, HALF = std::max(1, TILE_VECTORS / 2);
    int c = 0;
    for (; c + TILE_VECTORS * L <= columns; c += TILE_VECTORS * L)
        visit(c, std::integral_constant<int, TILE_VECTORS>());
    for (; c + HALF * L <= columns; c += HALF * L) visit(c, std::integral_constant<int, HALF>());
    for (; c < columns; c += L) visit(c, std::integral_constant<int, 1>());
}
// The same with the width of a tile.
template <typename T, typename Visit>
inline void each_panel(int columns, Visit visit) {
    each_tile<T>(columns, [&](int column, auto vectors) {
        visit(column, decltype(vectors)::value * Lanes<T>::count);
    });
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

// out[row] (+)= sum over segments of a[segment][row][0 .. length) @ b[segment][length, columns], =
// where fresh. ahead: how far behind these rows those are that later calls take; soon: rows of as
// many columns that the caller takes next.
template <typename T>
STAGE void rows_product(int rows, int segments, const T* const (*a)[BLOCK_ROWS], const Weight<T>* b,
                        int length, int columns, T* const* out, size_t ahead = 0,
                        const T* const* soon = nullptr, bool fresh = true) {
    constexpr int L = Lanes<T>::count, WIDE = TILE_VECTORS * L;
    const int at_once = std::max<int>(1, PANEL_BYTES / (length * WIDE * sizeof(T)));
    for (int s = 0; s < segments; s += at_once) {
        const int these = std::min(at_once, segments - s);
        each_tile<T>(columns, [&](int column, auto vectors) {
            for (int r = 0; r < rows; r += TILE_ROWS)
                with_rows<decltype(vectors)::value>(rows - r, [&](auto m, auto n) {
                    if (soon && s == 0)
                        for (int q = r; q < r + decltype(m)::value; q++)
                            for (size_t c = 0; c < decltype(n)::value * L * sizeof(T);
                                 c += CACHE_LINE)
                                __builtin_prefetch(soon[q] + column + c / sizeof(T));
                    rows_tile<T, decltype(m)::value, decltype(n)::value>(
                        these, a + s, r, length, b + s, out + r, column, fresh && s == 0, ahead);
                });
        });
    }
}

// total[length, columns] += a[rows, length]^T @ g[rows, columns]
template <typename T>
STAGE void outer_product(int rows, const T* const* a, int length, const T* const* g, int columns,
                         T* total) {
    for (int k = 0; k < length; k += TILE_ROWS)
        each_tile<T>(columns, [&](int column, auto vectors) {
            with_rows<decltype(vectors)::value>(length - k, [&](auto m, auto n) {
                outer_tile<T, decltype(m)::value, decltype(n)::value>(a, g, rows, k, column, total,
                                                                      columns);
            });
        });
}

// Rows of the blocks, of at most so many, that rows are divided into: whole tiles, about equal.
template <int BLOCK>
inline int even_block(int rows) {
    const int blocks = (rows - 1) / BLOCK + 1, tiles = ((rows - 1) / blocks + TILE_ROWS) / TILE_ROWS;
    return tiles * TILE_ROWS;
}

// Visits the columns, some vectors of a row at once: how many (as a type), and where they begin.
template <typename T, typename Visit>
inline void each_columns(int columns, Visit visit) {
    constexpr int L = Lanes<T>::count;
    int c = 0;
    for (; c + 4 * L <= columns; c += 4 * L) visit(std::integral_constant<int, 4>(), c);
    for (; c < columns; c += L) visit(std::integral_constant<int, 1>(), c);
}

// ---- Shapes -------------------------------------------------------------------------------------

enum Normalisation { NONE, BATCH, LAYER };

// Of the network, as native.py describes it.
struct Description {
    int way, channels, image_size, filters, layers, pooled, normalisation, flat;
};

// One layer, [examples, in, in, inputs] -> [examples, out, out, filters] -> [examples, after, ...].
struct LayerShape {
    int stride, in, out, after, inputs, filters;
    int real_inputs, real_filters;  // without the padding to whole vectors
    int start() const { return stride == 2 ? in % 2 : 1; }  // zeros before the first row and column
    int padded() const { return stride * (out - 1) + 3; }   // rows and columns the windows cover
    size_t image() const { return size_t(padded()) * padded() * inputs; }
    int positions() const { return out * out; }
    int kept() const { return after * after; }
    size_t kernel() const { return size_t(9) * inputs * filters; }
    // Which of the taps at rows (or columns) of the kernel the window of output i has inside the
    // input; the others meet zeros.
    unsigned taps_inside(int i) const {
        unsigned inside = 0;
        for (int h = 0; h < 3; h++) {
            const int at = stride * i - start() + h;
            if (at >= 0 && at < in) inside |= 1u << h;
        }
        return inside;
    }
    // The same of all nine.
    unsigned taps_inside(int i, int j) const {
        const unsigned rows = taps_inside(i), columns = taps_inside(j);
        return (rows & 1 ? columns : 0) | (rows & 2 ? columns << 3 : 0) |
               (rows & 4 ? columns << 6 : 0);
    }
    bool first;
};

struct Network {
    int way, filters, real_filters, layers, positions, features;
    bool pooled, flat;
    bool reads_patches;  // the first layer does: see Task
    Normalisation normalisation;
    LayerShape layer[MOST_LAYERS];

    Network(const Description& d, int lanes)
        : way(d.way),
          filters((d.filters + lanes - 1) / lanes * lanes),
          real_filters(d.filters),
          layers(d.layers),
          pooled(d.pooled),
          flat(d.flat),
          reads_patches(d.normalisation != LAYER && 9 * d.channels <= MOST_GATHERED),
          normalisation(Normalisation(d.normalisation)) {
        int size = d.image_size, inputs = d.channels, real_inputs = d.channels;
        for (int l = 0; l < layers; l++) {
            const int out = pooled ? size : (size + 1) / 2, after = pooled ? size / 2 : out;
            layer[l] = {pooled ? 1 : 2, size, out, after, inputs, filters, real_inputs,
                        real_filters, l == 0};
            size = after;
            inputs = filters;
            real_inputs = real_filters;
        }
        positions = flat ? size * size : 1;  // of features that the head sees
        features = positions * real_filters;
    }
    size_t largest_kernel() const {
        return std::max(layer[0].kernel(), layers > 1 ? layer[1].kernel() : 0);
    }
};

// A tensor of each task: of task t at data + t * stride; null: it is not there.
template <typename T>
struct Tensor {
    T* data;
    size_t stride;
    T* of(int task) const { return data ? data + task * stride : nullptr; }
};

// The parameters after some number of inner steps, or their gradient, as native.py lays them out.
template <typename T>
struct Parameters {
    Tensor<T> kernel[MOST_LAYERS], shift[MOST_LAYERS], scale[MOST_LAYERS];
    Tensor<T> mean[MOST_LAYERS], variance[MOST_LAYERS];  // of running statistics
    Tensor<T> head, bias;
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

// Where a row of [examples, size, size, channels] is.
struct Place {
    int example, i, j;
    size_t row;
};

// Memory that products work in.
template <typename T>
struct Workspace {
    T *room, *room2;     // a kernel each
    T *tiles, *kernels;  // for Winograd's algorithm
    T* zeros;            // a row of them
};

// ---- Kernels ------------------------------------------------------------------------------------

// Lays a kernel [9, in, out] out for products with windows; needs [9 * inputs, filters] of room.
template <typename T>
STAGE Weight<T> laid_out(const LayerShape& shape, const T* kernel, int rows, T* room) {
    const int length = 9 * shape.inputs;
    const bool is_whole = shape.real_filters == shape.filters &&
                          shape.real_inputs == shape.inputs;
    if (is_whole && rows < ROWS_TO_PACK) return {kernel, 1, size_t(shape.filters)};
    each_panel<T>(shape.filters, [&](int column, int width) {
        T* to = room + size_t(column) * length;
        const int real = std::clamp(shape.real_filters - column, 0, width);
        for (int tap = 0; tap < 9; tap++)
            for (int i = 0; i < shape.inputs; i++, to += width) {
                const bool is_real = i < shape.real_inputs;
                const T* from =
                    kernel + (size_t(tap) * shape.real_inputs + i) * shape.real_filters + column;
                for (int c = 0; c < width; c++) to[c] = is_real && c < real ? from[c] : T(0);
            }
    });
    return {room, size_t(length), 0};
}

// Lays the transpose of a kernel out, [9 * out, in], for products on the way back.
template <typename T>
STAGE Weight<T> transposed(const LayerShape& shape, const T* kernel, T* room) {
    constexpr int L = Lanes<T>::count;
    const int length = 9 * shape.filters;
    each_panel<T>(shape.inputs, [&](int column, int width) {
        T* panel = room + size_t(column) * length;
        const int real = std::clamp(shape.real_inputs - column, 0, width);
        for (int tap = 0; tap < 9; tap++) {
            T* to = panel + size_t(tap) * shape.filters * width;
            const T* from =
                kernel + (size_t(tap) * shape.real_inputs + column) * shape.real_filters;
            const size_t line = shape.real_filters;
            const int squares = real == width ? shape.real_filters / L * L : 0;
            for (int i = 0; i < width && squares; i += L)
                for (int f = 0; f < squares; f += L) {
                    for (int r = L; r < 2 * L; r++) __builtin_prefetch(from + (i + r) * line + f);
                    transpose_square(from + i * line + f, line, to + size_t(f) * width + i, width);
                }
            for (int f = squares; f < shape.real_filters; f++)
                for (int i = 0; i < width; i++)
                    to[f * width + i] = i < real ? from[i * line + f] : T(0);
            std::fill(to + shape.real_filters * width, to + shape.filters * width, T(0));
        }
    });
    return {room, size_t(length), 0};
}

// ---- Winograd's algorithm -----------------------------------------------------------------------
// Convolutions of stride 1 with fewer products (Lavin and Gray 2016): F(2, 3) along both sides of a
// tile, 16 products for 4 outputs in place of 36. The outputs from a window d [4, 4] and a kernel k
// [3, 3] are A^T [(G k G^T) . (B^T d B)] A, and the kernel's gradient from a tile g of outputs [2, 2]
// is G^T [(A g A^T) . (B^T d B)] G. With stride 2 fewer are saved than transforming tiles costs.

constexpr int WINOGRAD_ROWS = 256;      // fewer rows do not repay transforming a kernel
constexpr int LEAST_WINOGRAD_SIZE = 4;  // of outputs: fewer leave tiles half empty
constexpr int OUTPUTS = 2, PRODUCTS = 4;  // along a side of a tile; a window has as many as products
constexpr int TILES = 48;                 // in a block
constexpr int MOST_OUTPUTS = 64;          // finished at once

inline bool uses_winograd(const LayerShape& shape, int examples) {
    return shape.stride == 1 && !shape.first && shape.out >= LEAST_WINOGRAD_SIZE &&
           examples * shape.positions() >= WINOGRAD_ROWS;
}

// Of one line: B^T, A^T and A.
template <typename V>
void window_line(const V* d, V* to) {
    to[0] = d[0] - d[2], to[1] = d[1] + d[2], to[2] = d[2] - d[1], to[3] = d[1] - d[3];
}
template <typename V>
void output_line(const V* m, V* to) {
    to[0] = m[0] + m[1] + m[2], to[1] = m[1] - m[2] - m[3];
}
template <typename V>
void output_back_line(const V* g, V* to) {
    to[0] = g[0], to[1] = g[0] + g[1], to[2] = g[0] - g[1], to[3] = -g[1];
}
// G and G^T.
template <typename V>
void kernel_line(const V* k, V* to) {
    const V outer = k[0] + k[2];
    to[0] = k[0], to[1] = (outer + k[1]) / 2, to[2] = (outer - k[1]) / 2, to[3] = k[2];
}
template <typename V>
void kernel_back_line(const V* m, V* to) {
    const V sum = (m[1] + m[2]) / 2;
    to[0] = m[0] + sum, to[1] = (m[1] - m[2]) / 2, to[2] = sum + m[3];
}

// Applies line to the rows of a matrix [FROM, FROM] and then to its columns.
template <typename V, int FROM, int TO, typename Load, typename Store>
inline __attribute__((always_inline)) void both_ways(Load load, void (*line)(const V*, V*),
                                                     Store store) {
    V half[TO][FROM];
    for (int y = 0; y < FROM; y++) {
        V from[FROM], made[TO];
        for (int x = 0; x < FROM; x++) from[x] = load(y, x);
        line(from, made);
        for (int x = 0; x < TO; x++) half[x][y] = made[x];
    }
    for (int x = 0; x < TO; x++) {
        V made[TO];
        line(half[x], made);
        for (int y = 0; y < TO; y++) store(y, x, made[y]);
    }
}

// The weights [length, columns] of a kernel in panels [9 * length, columns]; turned: of the same
// kernel read from its last tap to its first.
template <typename T>
STAGE void transform_kernel(const T* panels, int length, int columns, bool is_turned, T* to) {
    using V = Vector<T>;
    each_panel<T>(columns, [&](int column, int width) {
        const size_t panel = size_t(length) * width;
        const T* from = panels + 9 * size_t(column) * length;
        for (size_t at = 0; at < panel; at += Lanes<T>::count)
            both_ways<V, 3, PRODUCTS>(
                [&](int y, int x) {
                    return load(from + (is_turned ? 8 - 3 * y - x : 3 * y + x) * panel + at);
                },
                kernel_line<V>, [&](int y, int x, V value) {
                    store(to + (size_t(y * PRODUCTS + x) * columns + column) * length + at, value);
                });
    });
}

// A tile of outputs of an example: where it begins.
struct Tile {
    int example, i, j;
};

// Images [examples, side, side, channels], the window of whose output (0, 0) begins at -before.
template <typename T>
struct Windows {
    const T* data;
    int side, before, channels;
    const T* line(const Tile& tile) const {
        return data + (size_t(tile.example) * side + tile.i) * side * channels;
    }
};

// From one of the products of a block of tiles to the next; not a power of two, or all would meet
// in the same place of a cache.
inline size_t product_stride(int channels) { return size_t(TILES) * channels + 16; }
inline size_t tiles_room(int channels) { return PRODUCTS * PRODUCTS * product_stride(channels); }
inline size_t weights_room(int channels) {
    return size_t(PRODUCTS) * PRODUCTS * channels * channels;
}

// B^T d B of each tile.
template <typename T>
STAGE void transform_windows(const Windows<T>& x, int count, const Tile* tiles, const T* zeros,
                             T* to) {
    using V = Vector<T>;
    const size_t stride = product_stride(x.channels);
    for (int t = 0; t < count; t++, to += x.channels) {
        const Tile& tile = tiles[t];
        const T* at[PRODUCTS][PRODUCTS];
        for (int y = 0; y < PRODUCTS; y++)
            for (int z = 0; z < PRODUCTS; z++) {
                const int i = tile.i + y - x.before, j = tile.j + z - x.before;
                const bool inside = i >= 0 && j >= 0 && i < x.side && j < x.side;
                const size_t row = (size_t(tile.example) * x.side + i) * x.side + j;
                at[y][z] = inside ? x.data + row * x.channels : zeros;
            }
        for (int c = 0; c < x.channels; c += Lanes<T>::count)
            both_ways<V, PRODUCTS, PRODUCTS>(
                [&](int y, int z) { return load(at[y][z] + c); }, window_line<V>,
                [&](int y, int z, V value) { store(to + (y * PRODUCTS + z) * stride + c, value); });
    }
}

// Visits the tiles of outputs [examples, size, size] in blocks of about as many.
template <typename Work>
inline void in_tiles(int examples, int size, Work work) {
    const int side = (size + 1) / OUTPUTS;
    const int tiles = examples * side * side, blocks = (tiles - 1) / TILES + 1;
    Tile tile[TILES];
    int filled = 0, left = tiles;
    for (int e = 0; e < examples; e++)
        for (int i = 0; i < size; i += OUTPUTS)
            for (int j = 0; j < size; j += OUTPUTS) {
                tile[filled++] = {e, i, j};
                if (--left * ptrdiff_t(blocks) % tiles >= blocks) continue;
                work(filled, tile);
                filled = 0;
            }
}

// Visits the weights of a kernel, with where the rows of transformed tiles begin that meet it. As
// many rows of what is transformed next are fetched meanwhile: there are no products to hide it in.
template <typename T, typename Visit>
inline void each_weight(int channels, int count, const T* next, Visit visit) {
    for (int weight = 0; weight < PRODUCTS * PRODUCTS; weight++) {
        for (int t = 0; t < count; t++, next += channels)
            for (int c = 0; c < channels; c += CACHE_LINE / sizeof(T))
                __builtin_prefetch(next + c, 0, 2);
        visit(weight, weight * product_stride(channels));
    }
}

// z [examples, size, size, channels] = the sum of the sources' convolutions with transformed
// kernels, which lie one after the other. finish is called with the places of each block of rows.
template <typename T, typename Finish>
STAGE void winograd_product(int examples, int size, int sources, const Windows<T>* x, T* z,
                            const Workspace<T>& space, Finish finish) {
    using V = Vector<T>;
    const int channels = x[0].channels;
    const size_t kernel = size_t(channels) * channels, stride = product_stride(channels);
    T* const made = space.tiles + tiles_room(channels);
    in_tiles(examples, size, [&](int count, const Tile* tiles) {
        for (int s = 0; s < sources; s++) {
            transform_windows(x[s], count, tiles, space.zeros, space.tiles);
            const T* const weights = space.kernels + s * weights_room(channels);
            const T* const next =
                s + 1 < sources ? x[1].line(tiles[0]) : x[0].line(tiles[count - 1]);
            each_weight(channels, count, next, [&](int weight, size_t at) {
                const T* a[1][BLOCK_ROWS];
                T* out[BLOCK_ROWS];
                const Weight<T> b{weights + weight * kernel, size_t(channels), 0};
                for (int t = 0; t < count; t++, at += channels) {
                    a[0][t] = space.tiles + at;
                    out[t] = made + at;
                }
                rows_product<T>(count, 1, a, &b, channels, channels, out, 0, nullptr, s == 0);
            });
        }
        Place rows[MOST_OUTPUTS];
        int filled = 0;
        for (int t = 0; t < count; t++) {
            const Tile& tile = tiles[t];
            const T* from = made + t * channels;
            const size_t first = (size_t(tile.example) * size + tile.i) * size + tile.j;
            const int high = std::min(OUTPUTS, size - tile.i), wide = std::min(OUTPUTS, size - tile.j);
            for (int c = 0; c < channels; c += Lanes<T>::count)
                both_ways<V, PRODUCTS, OUTPUTS>(
                    [&](int y, int x) { return load(from + (y * PRODUCTS + x) * stride + c); },
                    output_line<V>, [&](int y, int x, V value) {
                        if (y < high && x < wide)
                            store(z + (first + y * size + x) * channels + c, value);
                    });
            if (filled + OUTPUTS * OUTPUTS > MOST_OUTPUTS) {
                finish(filled, rows);
                filled = 0;
            }
            for (int y = 0; y < high; y++)
                for (int x = 0; x < wide; x++)
                    rows[filled++] = {tile.example, tile.i + y, tile.j + x, first + y * size + x};
        }
        if (filled) finish(filled, rows);
    });
}

// The kernel's gradient, as kernel_gradient has it.
template <typename T, typename Make>
STAGE void winograd_gradient(int examples, const LayerShape& shape, const T* x, const T* x2,
                             const T* g2, T* total, const Workspace<T>& space, Make make) {
    using V = Vector<T>;
    const int size = shape.out, channels = shape.filters, sources = x2 ? 2 : 1;
    const size_t kernel = size_t(channels) * channels, stride = product_stride(channels);
    const Windows<T> windows[] = {{x, shape.padded(), 0, channels},
                                  {x2, shape.padded(), 0, channels}};
    T *const sums = space.kernels, *const g = space.tiles + tiles_room(channels);
    std::fill_n(sums, weights_room(channels), T(0));
    in_tiles(examples, size, [&](int count, const Tile* tiles) {
        for (int s = 0; s < sources; s++) {
            transform_windows(windows[s], count, tiles, space.zeros, space.tiles);
            for (int t = 0; t < count; t++) {
                const Tile& tile = tiles[t];
                const T* at[OUTPUTS][OUTPUTS];
                for (int y = 0; y < OUTPUTS; y++)
                    for (int z = 0; z < OUTPUTS; z++) {
                        const int i = tile.i + y, j = tile.j + z;
                        const size_t row = (size_t(tile.example) * size + i) * size + j;
                        at[y][z] = i >= size || j >= size ? space.zeros
                                   : s                    ? g2 + row * channels
                                                          : make(0, Place{tile.example, i, j, row});
                    }
                T* const to = g + t * channels;
                for (int c = 0; c < channels; c += Lanes<T>::count)
                    both_ways<V, OUTPUTS, PRODUCTS>(
                        [&](int y, int z) { return load(at[y][z] + c); }, output_back_line<V>,
                        [&](int y, int z, V value) {
                            store(to + (y * PRODUCTS + z) * stride + c, value);
                        });
            }
            const T* const next =
                s + 1 < sources ? windows[1].line(tiles[0]) : windows[0].line(tiles[count - 1]);
            each_weight(channels, count, next, [&](int weight, size_t at) {
                const T *a[TILES], *right[TILES];
                for (int t = 0; t < count; t++, at += channels) {
                    a[t] = space.tiles + at;
                    right[t] = g + at;
                }
                outer_product<T>(count, a, channels, right, channels, sums + weight * kernel);
            });
        }
    });
    for (size_t at = 0; at < kernel; at += Lanes<T>::count)
        both_ways<V, PRODUCTS, 3>(
            [&](int y, int x) { return load(sums + size_t(y * PRODUCTS + x) * kernel + at); },
            kernel_back_line<V>,
            [&](int y, int x, V value) { store(total + (3 * y + x) * kernel + at, value); });
}

// ---- Convolutions and their gradients -----------------------------------------------------------

// Visits the rows (example, i, j) of a layer's convolution in blocks: fill gets a row's slot in its
// block, where it is, and where its window begins in the padded input; work gets how many rows there
// are in a block.
template <int BLOCK, typename Fill, typename Work>
inline void in_blocks(int examples, const LayerShape& shape, Fill fill, Work work) {
    int filled = 0;
    size_t row = 0;
    for (int e = 0; e < examples; e++)
        for (int i = 0; i < shape.out; i++)
            for (int j = 0; j < shape.out; j++) {
                const size_t corner = size_t(shape.stride) * (size_t(i) * shape.padded() + j);
                fill(filled++, Place{e, i, j, row++}, e * shape.image() + corner * shape.inputs);
                if (filled == BLOCK) {
                    work(filled);
                    filled = 0;
                }
            }
    if (filled) work(filled);
}

// Visits the bands of rows (or columns), a step apart, that have the same taps: where one begins and
// ends, and its taps.
template <typename TapsAt, typename Visit>
inline void each_band(int begin, int end, int step, TapsAt taps_at, Visit visit) {
    for (int first = begin, next; first < end; first = next) {
        const unsigned taps = taps_at(first);
        for (next = first + step; next < end && taps_at(next) == taps;) next += step;
        visit(first, next, taps);
    }
}

// Examples whose activations stay in the cache.
inline int examples_at_once(int examples, int positions) {
    const int groups = examples * positions / ROWS_AT_ONCE + 1;
    return (examples + groups - 1) / groups;
}

// The same as in_blocks, but in blocks of rows whose windows have the same taps inside the input, some
// examples at once; work also gets these taps down and across.
template <int BLOCK, typename Fill, typename Work>
inline void in_uniform_blocks(int examples, const LayerShape& shape, Fill fill, Work work) {
    const auto taps_at = [&](int output) { return shape.taps_inside(output); };
    const int at_once = examples_at_once(examples, shape.positions());
    for (int begin = 0; begin < examples; begin += at_once) {
        const int end = std::min(examples, begin + at_once);
        each_band(0, shape.out, 1, taps_at, [&](int top, int bottom, unsigned down) {
            each_band(0, shape.out, 1, taps_at, [&](int left, int right, unsigned across) {
                const int block = even_block<BLOCK>((end - begin) * (bottom - top) * (right - left));
                int filled = 0;
                auto flush = [&] {
                    work(filled, down, across);
                    filled = 0;
                };
                for (int e = begin; e < end; e++)
                    for (int i = top; i < bottom; i++)
                        for (int j = left; j < right; j++) {
                            const size_t row = (size_t(e) * shape.out + i) * shape.out + j;
                            const size_t at = (size_t(i) * shape.padded() + j) * shape.stride;
                            fill(filled++, Place{e, i, j, row},
                                 e * shape.image() + at * shape.inputs);
                            if (filled == block) flush();
                        }
                if (filled) flush();
            });
        });
    }
}

// A window of few channels, copied into one run.
template <typename T>
inline void gather(const T* x, size_t line, int run, T* to) {
    for (int h = 0; h < 3; h++, x += line)
        for (int c = 0; c < run; c++) *to++ = x[c];
}

// z = the convolution of x with kernel (plus that of x2 with kernel2). sums [examples, filters] get
// the sums of z, and sums2, if given, those of z times other.
template <typename T>
STAGE void convolve(int examples, const LayerShape& shape, const T* x, const T* kernel, const T* x2,
                    const T* kernel2, T* z, T* sums, const T* other, T* sums2,
                    const Workspace<T>& space) {
    constexpr int L = Lanes<T>::count;
    const int filters = shape.filters, run = 3 * shape.inputs, rows = examples * shape.positions();
    const size_t line = size_t(shape.padded()) * shape.inputs;
    std::fill_n(sums, size_t(examples) * filters, T(0));
    if (sums2) std::fill_n(sums2, size_t(examples) * filters, T(0));
    const bool gathers = shape.first && 3 * run <= MOST_GATHERED;
    const bool transforms = uses_winograd(shape, examples);
    T gathered[BLOCK_ROWS * MOST_GATHERED];
    const T* a[6][BLOCK_ROWS];
    T* out[BLOCK_ROWS];
    Place places[BLOCK_ROWS];
    Weight<T> b[6], whole[2];
    size_t windows[BLOCK_ROWS];
    Windows<T> sources[2];
    int count = 0;
    for (int source = 0; source < 2; source++) {
        const T* from = source ? x2 : x;
        const T* weights = source ? kernel2 : kernel;
        if (!from || !weights) continue;
        whole[count] = laid_out(shape, weights, transforms ? ROWS_TO_PACK : rows,
                                count ? space.room2 : space.room);
        if (transforms)
            transform_kernel(whole[count].data, filters, filters, false,
                             space.kernels + count * weights_room(filters));
        sources[count++] = {from, shape.padded(), 0, shape.inputs};
    }
    auto add_sums = [&](int rows, const Place* place) {
        for (int r = 0, stop; r < rows; r = stop) {
            const size_t example = place[r].example;
            for (stop = r + 1; stop < rows && place[stop].example == place[r].example;) stop++;
            each_columns<T>(filters, [&](auto vectors, int from) {
                constexpr int N = decltype(vectors)::value;
                Vector<T> sum[N]{}, with_other[N]{};
                for (int q = r; q < stop; q++)
                    for (int n = 0, c = from; n < N; n++, c += L) {
                        const Vector<T> value = load(z + place[q].row * filters + c);
                        sum[n] += value;
                        if (sums2) with_other[n] += value * load(other + place[q].row * filters + c);
                    }
                for (int n = 0, c = from; n < N; n++, c += L) {
                    add(sums + example * filters + c, sum[n]);
                    if (sums2) add(sums2 + example * filters + c, with_other[n]);
                }
            });
        }
    };
    if (transforms)
        return winograd_product(examples, shape.out, count, sources, z, space, add_sums);
    in_uniform_blocks<BLOCK_ROWS>(
        examples, shape,
        [&](int slot, const Place& place, size_t window) {
            places[slot] = place;
            out[slot] = z + place.row * filters;
            windows[slot] = window;
            if (gathers) gather(sources[0].data + window, line, run, gathered + slot * 3 * run);
        },
        [&](int rows, unsigned down, unsigned across) {
            if (gathers) {
                for (int r = 0; r < rows; r++) a[0][r] = gathered + r * 3 * run;
                rows_product<T>(rows, 1, a, whole, 3 * run, filters, out);
                return add_sums(rows, places);
            }
            // Taps across are neighbours, and so are their values.
            const int first = (across & 1 ? 0 : across & 2 ? 1 : 2) * shape.inputs;
            const int length = ((across & 1) + (across >> 1 & 1) + (across >> 2)) * shape.inputs;
            int segments = 0;
            for (int s = 0; s < count; s++)
                for (int h = 0; h < 3; h++) {
                    if (!(down >> h & 1)) continue;
                    b[segments] = whole[s].from(h * run + first);
                    const T* from = sources[s].data + h * line + first;
                    for (int r = 0; r < rows; r++) a[segments][r] = from + windows[r];
                    segments++;
                }
            rows_product<T>(rows, segments, a, b, length, filters, out, shape.image());
            add_sums(rows, places);
        });
}

// total = the kernel's gradient: patches of x, transposed, times g (plus those of x2 times g2).
// make gives a row of g for a slot and a place, written just before it is used.
template <typename T, typename Make>
STAGE void kernel_gradient(int examples, const LayerShape& shape, const T* x, const T* x2,
                           const T* g2, T* total, const Workspace<T>& space, Make make) {
    if (uses_winograd(shape, examples))
        return winograd_gradient(examples, shape, x, x2, g2, total, space, make);
    const int inputs = shape.inputs, filters = shape.filters;
    const size_t line = size_t(shape.padded()) * inputs;
    const bool gathers = shape.first && 9 * inputs <= MOST_GATHERED;
    const T *windows[2][GRADIENT_ROWS], *right[2][GRADIENT_ROWS];
    unsigned taps[GRADIENT_ROWS];
    T gathered[GRADIENT_ROWS * MOST_GATHERED];
    std::fill_n(total, shape.kernel(), T(0));
    in_blocks<GRADIENT_ROWS>(
        examples, shape,
        [&](int slot, const Place& place, size_t window) {
            right[0][slot] = make(slot, place);
            windows[0][slot] = x + window;
            if (gathers) {
                windows[0][slot] = gathered + slot * 9 * inputs;
                gather(x + window, line, 3 * inputs, gathered + slot * 9 * inputs);
                return;
            }
            taps[slot] = shape.taps_inside(place.i, place.j);
            for (int h = 0; h < 3; h++) __builtin_prefetch(x + window + h * line);
            if (!x2) return;
            right[1][slot] = g2 + place.row * filters;
            windows[1][slot] = x2 + window;
            for (int h = 0; h < 3; h++) __builtin_prefetch(x2 + window + h * line);
        },
        [&](int rows) {
            if (gathers)
                return outer_product<T>(rows, windows[0], 9 * inputs, right[0], filters, total);
            for (int tap = 0; tap < 9; tap++)
                for (int s = 0; s < (x2 ? 2 : 1); s++) {
                    const T *a[GRADIENT_ROWS], *g[GRADIENT_ROWS];
                    int inside = 0;
                    for (int r = 0; r < rows; r++) {
                        a[inside] = windows[s][r] + tap / 3 * line + tap % 3 * inputs;
                        g[inside] = right[s][r];
                        inside += taps[r] >> tap & 1;
                    }
                    outer_product<T>(inside, a, inputs, g, filters,
                                     total + size_t(tap) * inputs * filters);
                }
        });
}

// The bands of an input's rows (or columns) of one phase, by the taps that reach them from inside the
// output.
template <typename Visit>
inline void each_band_back(const LayerShape& shape, int phase, Visit visit) {
    const auto taps_at = [&](int y) {
        unsigned taps = 0;
        for (int h = phase; h < 3; h += shape.stride) {
            const int i = y + shape.start() - h;
            if (i >= 0 && i < shape.stride * shape.out) taps |= 1u << h;
        }
        return taps;
    };
    each_band((phase + shape.start()) % shape.stride, shape.in, shape.stride, taps_at, visit);
}

// gx [examples, in, in, inputs] = the transposed convolution of g with a kernel (plus that of g2
// with kernel2). With stride s, a padded row or column y is in the windows (y - tap) / s of those
// taps that leave no remainder. finish is called with the rows of each block when they are there, one
// after the other unless gx has all; it takes a row beside each.
template <typename T, typename Beside, typename Finish>
STAGE void input_gradient(int examples, const LayerShape& shape, const T* g, const T* kernel,
                          const T* g2, const T* kernel2, T* gx, bool has_all,
                          const Workspace<T>& space, Beside beside, Finish finish) {
    const T *a[18][BLOCK_ROWS], *soon[BLOCK_ROWS];
    T* out[BLOCK_ROWS];
    Place rows[BLOCK_ROWS];
    Weight<T> b[18];
    const int filters = shape.filters, size = shape.out, stride = shape.stride;
    const Weight<T> back = transposed(shape, kernel, space.room);
    const Weight<T> back2 = kernel2 ? transposed(shape, kernel2, space.room2) : back;
    if (uses_winograd(shape, examples)) {
        const Windows<T> sources[] = {{g, size, 1, filters}, {g2, size, 1, filters}};
        T* const second = space.kernels + weights_room(filters);
        transform_kernel(back.data, filters, filters, true, space.kernels);
        if (kernel2) transform_kernel(back2.data, filters, filters, true, second);
        return winograd_product(examples, size, kernel2 ? 2 : 1, sources, gx, space, finish);
    }
    // All phases of some examples, while these are in the cache.
    const int at_once = examples_at_once(examples, shape.in * shape.in);
    for (int begin = 0; begin < examples; begin += at_once)
        for (int phase = 0; phase < stride * stride; phase++) {
            const int end = std::min(examples, begin + at_once);
            each_band_back(shape, phase / stride, [&](int top, int bottom, unsigned down) {
                each_band_back(shape, phase % stride, [&](int left, int right, unsigned across) {
                    int taps = 0, tap[9];
                    for (int h = 0; h < 9; h++)
                        if (down >> h / 3 & across >> h % 3 & 1) tap[taps++] = h;
                    const int segments = kernel2 ? 2 * taps : taps;
                    for (int s = 0; s < taps; s++) {
                        b[s] = back.from(tap[s] * filters);
                        b[taps + s] = back2.from(tap[s] * filters);
                    }
                    const int lines = (bottom - top - 1) / stride + 1;
                    const int columns = (right - left - 1) / stride + 1;
                    const int block = even_block<BLOCK_ROWS>((end - begin) * lines * columns);
                    int filled = 0;
                    auto work = [&] {
                        rows_product<T>(filled, segments, a, b, filters, shape.inputs, out, 0, soon);
                        finish(filled, rows);
                        filled = 0;
                    };
                    for (int e = begin; e < end; e++)
                        for (int y = top; y < bottom; y += stride)
                            for (int x = left; x < right; x += stride) {
                                const size_t row = (size_t(e) * shape.in + y) * shape.in + x;
                                rows[filled] = {e, y, x, row};
                                out[filled] = gx + (has_all ? row : filled) * shape.inputs;
                                soon[filled] = beside(rows[filled]);
                                for (int s = 0; s < taps; s++) {
                                    const int i = (y + shape.start() - tap[s] / 3) / stride;
                                    const int j = (x + shape.start() - tap[s] % 3) / stride;
                                    const size_t at = ((size_t(e) * size + i) * size + j) * filters;
                                    a[s][filled] = g + at;
                                    if (kernel2) a[taps + s][filled] = g2 + at;
                                }
                                if (++filled == block) work();
                            }
                    if (filled) work();
                });
            });
        }
}

// A kernel's gradient without the padding to whole vectors.
template <typename T>
void without_padding(const LayerShape& shape, const T* padded, T* to) {
    for (int tap = 0; tap < 9; tap++)
        for (int i = 0; i < shape.real_inputs; i++)
            to = std::copy_n(padded + (size_t(tap) * shape.inputs + i) * shape.filters,
                             shape.real_filters, to);
}

// ---- One task -----------------------------------------------------------------------------------

// What one layer of a pass keeps. Statistics are [groups, filters]: a group is all examples with
// batch norm and without normalisation, one example with layer norm.
template <typename T>
struct LayerTape {
    T* centred;  // C
    T* output;   // A, inside the next layer's padded input; plain rows after the last layer
    T* chosen;   // C where pooling took it; without pooling C
    T* codes;    // which of the four pooling took
    T *mean, *scale;                // of Z; r
    T *g_gained;                    // gradient of s Y + t, at the positions of the output
    T *g_sums, *g_centred_sums;     // of it, and of it times C, over each example
    T* g_product;                   // gradient of Z; of the first layer computed again
    T* g_kernel;                    // P of a layer that reads patches
    T *g_mean, *g_correlation;      // mean(u); mean(Y u)
    T *d_input, *d_normalised, *d_correlation, *d_chosen;  // of the tangent; dY where it was taken
    T* d_cross;  // sums over each example of dY times G
};

template <typename T>
struct Task {
    static constexpr int L = Lanes<T>::count;
    const Network& net;
    const int count;
    const int filters;
    T* images;  // padded
    T *patches, *patch_mean, *patch_moments;  // in place of images: x, m, S
    LayerTape<T> layer[MOST_LAYERS];
    T *features, *d_features;
    bool has_body_tangent = false;
    // Scratch.
    T *g_output, *dense, *dg_gained, *sums, *sums2, *averages, *averages2, *gains, *shifts;
    T *d_gains, *d_shifts, *total, *g_features;
    T *w, *v, *folded, *moments;  // [patch, filters]: see the first layer that reads patches
    T* block;                     // [BLOCK_ROWS, filters]
    Workspace<T> space;

    Task(const Network& net, int count) : net(net), count(count), filters(net.filters) {}

    size_t rows(int l) const { return size_t(count) * net.layer[l].positions() * filters; }
    size_t kept(int l) const { return size_t(count) * net.layer[l].kept() * filters; }
    bool from_patches(int l) const { return l == 0 && net.reads_patches; }
    size_t patch() const { return 9 * net.layer[0].real_inputs; }
    size_t first_kernel() const { return patch() * filters; }
    int groups() const { return net.normalisation == LAYER ? count : 1; }
    size_t per_group() const { return size_t(groups()) * filters; }
    size_t per_example() const { return size_t(count) * filters; }
    const T* input(int l) const { return l ? layer[l - 1].output : images; }
    size_t output_size(int l) const {
        return l + 1 < net.layers ? count * net.layer[l + 1].image() : kept(l);
    }
    size_t hidden_features() const { return per_example() * net.positions; }

    size_t take_images(T* base) {
        Arena<T> arena{base};
        if (net.reads_patches) {
            patches = arena.take(size_t(count) * net.layer[0].positions() * patch());
            patch_mean = arena.take(patch());
            patch_moments = arena.take(patch() * patch());  // also behind the last patch
        } else {
            images = arena.take(count * net.layer[0].image());
        }
        return arena.used;
    }
    size_t take_forward(T* base) {
        Arena<T> arena{base};
        for (int l = 0; l < net.layers; l++) {
            LayerTape<T>& tape = layer[l];
            tape.centred = from_patches(l) ? nullptr : arena.take(rows(l));
            tape.output = arena.take(output_size(l));
            tape.chosen = net.pooled && !from_patches(l) ? arena.take(kept(l)) : tape.centred;
            tape.codes = net.pooled ? arena.take(kept(l)) : nullptr;
            tape.mean = arena.take(per_group());
            tape.scale = arena.take(per_group());
        }
        features = arena.take(hidden_features());
        return arena.used;
    }
    size_t take_backward(T* base) {
        Arena<T> arena{base};
        for (int l = 0; l < net.layers; l++) {
            layer[l].g_mean = arena.take(per_group());
            layer[l].g_gained = from_patches(l) ? nullptr : arena.take(kept(l));
            layer[l].g_sums = arena.take(per_example());
            layer[l].g_centred_sums = arena.take(per_example());
            layer[l].g_product = l ? arena.take(rows(l)) : nullptr;
            layer[l].g_kernel = from_patches(l) ? arena.take(first_kernel()) : nullptr;
            layer[l].g_correlation = arena.take(per_group());
        }
        return arena.used;
    }
    size_t take_tangent(T* base) {
        Arena<T> arena{base};
        for (int l = 0; l < net.layers; l++) {
            layer[l].d_input = l ? arena.take(count * net.layer[l].image()) : nullptr;
            layer[l].d_normalised = from_patches(l) ? nullptr : arena.take(rows(l));
            layer[l].d_correlation = arena.take(per_group());
            layer[l].d_cross = arena.take(per_example());
            layer[l].d_chosen =
                net.pooled && !from_patches(l) ? arena.take(kept(l)) : layer[l].d_normalised;
        }
        d_features = arena.take(hidden_features());
        return arena.used;
    }
    size_t take_scratch(T* base) {
        Arena<T> arena{base};
        size_t largest = 0, largest_kept = 0;
        for (int l = 0; l < net.layers; l++) {
            largest = std::max(largest, rows(l));
            largest_kept = std::max(largest_kept, kept(l));
        }
        g_output = arena.take(largest_kept);
        dg_gained = arena.take(largest_kept);
        dense = arena.take(largest);
        for (T** each : {&sums, &sums2, &averages, &averages2})
            *each = arena.take(per_example());
        for (T** each : {&gains, &shifts, &d_gains, &d_shifts, &space.zeros}) *each = arena.take(filters);
        const size_t kernel = std::max(net.largest_kernel(), size_t(filters));
        space.room = arena.take(kernel);
        space.room2 = arena.take(kernel);
        size_t tiles = 0, weights = 0;
        for (int l = 0; l < net.layers; l++)
            if (uses_winograd(net.layer[l], count)) {
                tiles = 2 * tiles_room(filters);
                weights = 2 * weights_room(filters);
            }
        space.tiles = arena.take(tiles);
        space.kernels = arena.take(weights);
        total = arena.take(kernel);
        if (net.reads_patches)
            for (T** each : {&w, &v, &folded, &moments}) *each = arena.take(first_kernel());
        block = net.reads_patches ? arena.take(size_t(BLOCK_ROWS) * filters) : nullptr;
        g_features = arena.take(hidden_features());
        return arena.used;
    }

    // images [count, channels, size, size], as they come; the zeros around them are there.
    STAGE void see(const T* from) {
        if (net.reads_patches) return form_patches(from);
        const LayerShape& shape = net.layer[0];
        for (int e = 0; e < count; e++, from += size_t(shape.inputs) * shape.in * shape.in)
            pad_image(from, images + e * shape.image());
    }
    void pad_image(const T* from, T* to) const {
        const LayerShape& shape = net.layer[0];
        for (int c = 0; c < shape.inputs; c++)
            for (int y = 0; y < shape.in; y++) {
                const size_t row = size_t(y + shape.start()) * shape.padded() + shape.start();
                for (int x = 0; x < shape.in; x++) to[(row + x) * shape.inputs + c] = *from++;
            }
    }

    // Where the outputs of layer l begin for a line of them (example, i), in its padded output.
    size_t line_of_output(int l, int e, int i) const {
        const size_t after = net.layer[l].after;
        if (l + 1 == net.layers) return (size_t(e) * after + i) * after * filters;
        const LayerShape& next = net.layer[l + 1];
        return e * next.image() +
               (size_t(i + next.start()) * next.padded() + next.start()) * filters;
    }

    size_t place_of_output(int l, const Place& place) const {
        return line_of_output(l, place.example, place.i) + size_t(place.j) * filters;
    }

    // A vector of the parameters, padded with zeros; filled with other where it is not there.
    void padded_vector(const T* from, T other, T* to) const {
        std::fill_n(to, filters, T(0));
        if (from)
            std::copy_n(from, net.real_filters, to);
        else
            std::fill_n(to, net.real_filters, other);
    }

    // The mean over each group of something whose sums over examples are given, times weights.
    void group_means(int l, const T* of, const T* weights, T* means) const {
        const T positions = net.layer[l].positions();
        std::fill_n(means, per_group(), T(0));
        if (net.normalisation == BATCH) {
            for (int e = 0; e < count; e++)
                for (int c = 0; c < filters; c++) means[c] += of[size_t(e) * filters + c];
            for (int c = 0; c < filters; c++)
                means[c] *= (weights ? weights[c] : T(1)) / (count * positions);
        } else if (net.normalisation == LAYER) {
            for (int e = 0; e < count; e++) {
                T sum = 0;
                for (int c = 0; c < net.real_filters; c++)
                    sum += of[size_t(e) * filters + c] * (weights ? weights[c] : T(1));
                std::fill_n(means + size_t(e) * filters, net.real_filters,
                            sum / (positions * net.real_filters));
            }
        }
    }
    size_t group(int e) const { return net.normalisation == LAYER ? size_t(e) * filters : 0; }

    // ---- Forward ----

    // Variances [groups, filters] become r; zero in the padding.
    void invert(T* variance) const {
        for (int g = 0; g < groups(); g++)
            for (int c = 0; c < filters; c++) {
                T& value = variance[size_t(g) * filters + c];
                value = c < net.real_filters ? 1 / std::sqrt(value + T(NORM_EPSILON)) : T(0);
            }
    }

    // Sums over each example of (z - mean)^2.
    STAGE void squares(int l, const T* z, const T* mean, T* to) const {
        const int positions = net.layer[l].positions(), line = net.layer[l].out;
        for (int e = 0; e < count; e++)
            for (int c = 0; c < filters; c += L) {
                const Vector<T> middle = load(mean + group(e) + c);
                Vector<T> sum{};
                for (int first = 0; first < positions; first += line) {
                    const T* from = z + (size_t(e) * positions + first) * filters + c;
                    Vector<T> part{};
                    for (int j = 0; j < line; j++, from += filters) {
                        const Vector<T> off = load(from) - middle;
                        part += off * off;
                    }
                    sum += part;
                }
                store(to + size_t(e) * filters + c, sum);
            }
    }

    // C in place of Z, and the output with what pooling took.
    STAGE void activate(int l, const T* gain, const T* shift) {
        const LayerShape& shape = net.layer[l];
        LayerTape<T>& tape = layer[l];
        const int out = shape.out, after = shape.after;
        for (int e = 0; e < count; e++) {
            const T *mean = tape.mean + group(e), *scale = tape.scale + group(e);
            T* factor = averages;
            for (int c = 0; c < filters; c++) factor[c] = scale[c] * gain[c];
            T* z = tape.centred + size_t(e) * out * out * filters;
            if (!net.pooled) {
                for (int i = 0; i < out; i++) {
                    T* to = tape.output + line_of_output(l, e, i);
                    for (int j = 0; j < out; j++, z += filters, to += filters)
                        for (int c = 0; c < filters; c += L) {
                            const Vector<T> centred = load(z + c) - load(mean + c);
                            const Vector<T> y = centred * load(factor + c) + load(shift + c);
                            store(z + c, centred);
                            store(to + c, y <= 0 ? Vector<T>{} : y);  // NaN stays
                        }
                }
                continue;
            }
            const size_t line = size_t(out) * filters;
            for (int i = 0; i < after; i++) {
                T* to = tape.output + line_of_output(l, e, i);
                T* window = z + 2 * i * line;
                const size_t kept_at = (size_t(e) * after + i) * after * filters;
                T *chosen = tape.chosen + kept_at, *codes = tape.codes + kept_at;
                for (int j = 0; j < after; j++, window += 2 * filters, to += filters,
                         chosen += filters, codes += filters)
                    for (int c = 0; c < filters; c += L) {
                        const Vector<T> m = load(mean + c), f = load(factor + c);
                        const Vector<T> t = load(shift + c);
                        Vector<T> best{}, taken{}, code{};
                        for (int k = 0; k < 4; k++) {
                            T* at = window + (k / 2) * line + (k % 2) * filters + c;
                            const Vector<T> centred = load(at) - m, y = centred * f + t;
                            store(at, centred);
                            if (k == 0) {
                                best = y;
                                taken = centred;
                                continue;
                            }
                            const auto better = (y > best) | (y != y);  // NaN stays
                            best = better ? y : best;
                            taken = better ? centred : taken;
                            code = better ? all(T(k)) : code;
                        }
                        store(chosen + c, taken);
                        store(codes + c, code);
                        store(to + c, best <= 0 ? Vector<T>{} : best);
                    }
            }
            for (int i = 0; i < out; i++)  // what no pooling window covers
                for (int j = i < 2 * after ? 2 * after : 0; j < out; j++)
                    for (int c = 0; c < filters; c += L) {
                        T* at = z + i * line + size_t(j) * filters + c;
                        store(at, load(at) - load(mean + c));
                    }
        }
    }

    // Logits [count, way], or what the head would see [count, features], at values. Statistics are
    // those of the images, [layers, 2, real filters]. given: means and variances to normalise with.
    STAGE void forward(int task, const Parameters<T>& values, const Parameters<T>* given, T* logits,
                       T* statistics) {
        for (int l = 0; l < net.layers; l++) {
            const LayerShape& shape = net.layer[l];
            LayerTape<T>& tape = layer[l];
            padded_vector(values.scale[l].of(task), 1, gains);
            padded_vector(values.shift[l].of(task), 0, shifts);
            if (from_patches(l)) {
                first_statistics(values.kernel[l].of(task));
            } else {
                convolve<T>(count, shape, input(l), values.kernel[l].of(task), nullptr, nullptr,
                            tape.centred, sums, nullptr, nullptr, space);
                group_means(l, sums, nullptr, tape.mean);
            }
            if (net.normalisation == NONE) {
                std::fill_n(tape.scale, filters, T(1));
            } else {
                if (!from_patches(l)) {
                    squares(l, tape.centred, tape.mean, sums2);
                    group_means(l, sums2, nullptr, tape.scale);
                }
                if (statistics && net.normalisation == BATCH) {
                    std::copy_n(tape.mean, net.real_filters, statistics);
                    std::copy_n(tape.scale, net.real_filters, statistics + net.real_filters);
                    statistics += 2 * net.real_filters;
                }
                if (given) {
                    padded_vector(given->mean[l].of(task), 0, tape.mean);
                    padded_vector(given->variance[l].of(task), 1, tape.scale);
                }
                invert(tape.scale);
            }
            if (from_patches(l))
                activate_first();
            else
                activate(l, gains, shifts);
        }
        gather_features(layer[net.layers - 1].output, features);
        const T* weight = values.head.of(task);
        if (!weight) return without_padding_features(features, logits);
        std::fill_n(logits, size_t(count) * net.way, T(0));
        head(features, weight, values.bias.of(task), logits);
    }

    // [count, positions, filters] -> what the head sees, [count, net.positions, filters]
    void gather_features(const T* output, T* to) const {
        if (net.flat) {
            std::copy_n(output, hidden_features(), to);
            return;
        }
        const int positions = net.layer[net.layers - 1].kept();
        for (int e = 0; e < count; e++)
            for (int c = 0; c < filters; c++) {
                T sum = 0;
                for (int p = 0; p < positions; p++)
                    sum += output[(size_t(e) * positions + p) * filters + c];
                to[size_t(e) * filters + c] = sum / positions;
            }
    }

    // Transpose of gather_features.
    void spread(const T* of, T* output) const {
        if (net.flat) {
            std::copy_n(of, hidden_features(), output);
            return;
        }
        const int positions = net.layer[net.layers - 1].kept();
        for (int e = 0; e < count; e++)
            for (int p = 0; p < positions; p++)
                for (int c = 0; c < filters; c++)
                    output[(size_t(e) * positions + p) * filters + c] =
                        of[size_t(e) * filters + c] / positions;
    }

    // Calls visit with each feature's index and that of the same one in padded memory.
    template <typename Visit>
    void each_feature(Visit visit) const {
        for (int p = 0; p < net.positions; p++)
            for (int c = 0; c < net.real_filters; c++)
                visit(size_t(p) * net.real_filters + c, size_t(p) * filters + c);
    }
    const T* of_example(const T* of, int e) const {
        return of + size_t(e) * net.positions * filters;
    }
    T* of_example(T* of, int e) const { return of + size_t(e) * net.positions * filters; }

    void without_padding_features(const T* of, T* to) const {
        for (int e = 0; e < count; e++, to += net.features)
            each_feature([&](size_t f, size_t at) { to[f] = of_example(of, e)[at]; });
    }
    void with_padding_features(const T* from, T* to) const {
        std::fill_n(to, hidden_features(), T(0));
        for (int e = 0; e < count; e++, from += net.features)
            each_feature([&](size_t f, size_t at) { of_example(to, e)[at] = from[f]; });
    }

    // logits += of @ weight + bias
    void head(const T* of, const T* weight, const T* bias, T* logits) const {
        const int way = net.way;
        for (int e = 0; e < count; e++, logits += way) {
            if (bias)
                for (int n = 0; n < way; n++) logits[n] += bias[n];
            if (!weight) continue;
            each_feature([&](size_t f, size_t at) {
                const T feature = of_example(of, e)[at];
                for (int n = 0; n < way; n++) logits[n] += feature * weight[f * way + n];
            });
        }
    }

    // to += g @ weight^T
    void head_back(const T* g, const T* weight, T* to) const {
        const int way = net.way;
        for (int e = 0; e < count; e++, g += way)
            each_feature([&](size_t f, size_t at) {
                T sum = 0;
                for (int n = 0; n < way; n++) sum += g[n] * weight[f * way + n];
                of_example(to, e)[at] += sum;
            });
    }

    // sum += of^T @ g, and the sum of g
    void head_outer(const T* of, const T* g, T* sum, T* sum_g) const {
        const int way = net.way;
        for (int e = 0; e < count; e++, g += way) {
            if (sum_g)
                for (int n = 0; n < way; n++) sum_g[n] += g[n];
            each_feature([&](size_t f, size_t at) {
                const T feature = of_example(of, e)[at];
                for (int n = 0; n < way; n++) sum[f * way + n] += feature * g[n];
            });
        }
    }

    // ---- Backward ----

    // In place of rows of g, g where the ReLU let through; adds to the sums over each example of it,
    // and of it times C. Needs gains and shifts.
    STAGE void through_relu(int l, int rows, const Place* row, T* g, T* of, T* with_centred) const {
        const LayerTape<T>& tape = layer[l];
        for (int first = 0, end; first < rows; first = end) {
            const int e = row[first].example;
            for (end = first + 1; end < rows && row[end].example == e;) end++;
            each_columns<T>(filters, [&](auto vectors, int from) {
                constexpr int N = decltype(vectors)::value;
                Vector<T> sum[N]{}, product[N]{}, factor[N];
                for (int n = 0, c = from; n < N; n++, c += L)
                    factor[n] = load(tape.scale + group(e) + c) * load(gains + c);
                for (int q = first; q < end; q++)
                    for (int n = 0, c = from; n < N; n++, c += L) {
                        const size_t at = row[q].row * filters + c;
                        const Vector<T> centred = load(tape.chosen + at);
                        const Vector<T> y = centred * factor[n] + load(shifts + c);
                        const Vector<T> passed = y > 0 ? load(g + at) : Vector<T>{};
                        store(g + at, passed);
                        sum[n] += passed;
                        product[n] += passed * centred;
                    }
                for (int n = 0, c = from; n < N; n++, c += L) {
                    add(of + size_t(e) * filters + c, sum[n]);
                    add(with_centred + size_t(e) * filters + c, product[n]);
                }
            });
        }
    }
    // To G of layer l from g_features or the layer above; in a direction, to its derivative. Leaves
    // gains and shifts. For a layer that reads patches, g is room for G, and g_kernel becomes P.
    void back_to(int task, int l, const Parameters<T>& values, const Parameters<T>* direction, T* g,
                 T* of, T* with_centred, T* g_kernel) {
        std::fill_n(of, per_example(), T(0));
        std::fill_n(with_centred, per_example(), T(0));
        padded_vector(values.scale[l].of(task), 1, gains);
        padded_vector(values.shift[l].of(task), 0, shifts);
        if (from_patches(l)) std::fill_n(g_kernel, first_kernel(), T(0));
        const bool has_all =
            !from_patches(l) || l + 1 == net.layers || uses_winograd(net.layer[l + 1], count);
        auto finish = [&](int rows, const Place* row) {
            if (from_patches(l))
                back_through_first(rows, row, g, has_all, of, g_kernel);
            else
                through_relu(l, rows, row, g, of, with_centred);
        };
        if (l + 1 < net.layers) {
            const T *kernel = values.kernel[l + 1].of(task), *known = layer[l + 1].g_product;
            input_gradient<T>(
                count, net.layer[l + 1], direction ? dense : known, kernel, known,
                direction ? direction->kernel[l + 1].of(task) : nullptr, g, has_all, space,
                [&](const Place& place) {
                    return from_patches(l) ? layer[l].output + place_of_output(l, place)
                                           : layer[l].chosen + place.row * filters;
                },
                finish);
        } else {
            spread(g_features, g);
            const int after = net.layer[l].after;
            Place row[BLOCK_ROWS];
            int filled = 0;
            size_t next = 0;
            for (int e = 0; e < count; e++)
                for (int p = 0; p < after * after; p++) {
                    row[filled++] = {e, p / after, p % after, next++};
                    if (filled == BLOCK_ROWS || next == size_t(count) * after * after) {
                        finish(filled, row);
                        filled = 0;
                    }
                }
        }
        if (from_patches(l)) sum_with_centred(values.kernel[l].of(task), of, g_kernel, with_centred);
    }

    // Gradients of shift and scale from sums over examples; more, if given, is added to the latter.
    void norm_gradients(int l, const T* of, const T* with_centred, const T* more, T* shift,
                        T* scale) const {
        if (shift) std::fill_n(shift, net.real_filters, T(0));
        if (scale) std::fill_n(scale, net.real_filters, T(0));
        for (int e = 0; e < count; e++) {
            const size_t at = size_t(e) * filters;
            const T* r = layer[l].scale + group(e);
            for (int c = 0; c < net.real_filters; c++) {
                if (shift) shift[c] += of[at + c];
                if (scale) scale[c] += r[c] * with_centred[at + c] + (more ? more[at + c] : T(0));
            }
        }
    }

    // Where the output at a position of the convolution is, and which of the pooled ones it is: none
    // (4) where no pooling window is, and -1 without pooling.
    struct Source {
        size_t at;
        int code;
    };
    Source source(int l, const Place& place) const {
        if (!net.pooled) return {place.row * filters, -1};
        const int after = net.layer[l].after, i = place.i / 2, j = place.j / 2;
        if (i >= after || j >= after) return {0, 4};
        return {((size_t(place.example) * after + i) * after + j) * filters,
                place.i % 2 * 2 + place.j % 2};
    }
    Vector<T> dense_value(const LayerTape<T>& tape, const T* of, const Source& from, int c) const {
        const size_t at = from.at + c;
        if (from.code < 0) return load(of + at);
        if (from.code == 4) return Vector<T>{};
        return load(tape.codes + at) == all(T(from.code)) ? load(of + at) : Vector<T>{};
    }

    // The gradient from g [count, way], or [count, features] where there is no head.
    STAGE void backward(int task, const Parameters<T>& values, bool is_fixed, const T* g,
                        const Parameters<T>& gradient) {
        T* weight = gradient.head.of(task);
        if (values.head.of(task)) {
            std::fill_n(weight, size_t(net.features) * net.way, T(0));
            std::fill_n(gradient.bias.of(task), net.way, T(0));
            head_outer(features, g, weight, gradient.bias.of(task));
            std::fill_n(g_features, hidden_features(), T(0));
            head_back(g, values.head.of(task), g_features);
        } else {
            with_padding_features(g, g_features);
        }
        for (int l = net.layers - 1; l >= 0; l--) {
            LayerTape<T>& tape = layer[l];
            back_to(task, l, values, nullptr, from_patches(l) ? dg_gained : tape.g_gained,
                    tape.g_sums, tape.g_centred_sums, tape.g_kernel);
            norm_gradients(l, tape.g_sums, tape.g_centred_sums, nullptr, gradient.shift[l].of(task),
                           gradient.scale[l].of(task));
            group_means(l, tape.g_sums, gains, tape.g_mean);
            group_means(l, tape.g_centred_sums, gains, tape.g_correlation);
            for (size_t p = 0; p < per_group(); p++) tape.g_correlation[p] *= tape.scale[p];
            if (is_fixed) {
                std::fill_n(tape.g_mean, per_group(), T(0));
                std::fill_n(tape.g_correlation, per_group(), T(0));
            }
            if (from_patches(l)) {
                first_gradient(gradient.kernel[l].of(task));
                continue;
            }
            finish_kernel(task, l, nullptr, nullptr, gradient, [&](int slot, const Place& place) {
                T* to = l ? tape.g_product + place.row * filters : dense + slot * filters;
                through_normalisation(l, place, tape.g_gained, tape.g_mean, tape.g_correlation, to);
                return to;
            });
        }
    }

    // A vector of g_Z = r s G - r mean(u) - r^2 mean(Y u) C; group is where the example's begin.
    Vector<T> through_normalisation(const LayerTape<T>& tape, const Source& from, size_t group,
                                    Vector<T> centred, int c, const T* g, const T* mean,
                                    const T* correlation) const {
        const Vector<T> scale = load(tape.scale + group + c);
        return scale * (dense_value(tape, g, from, c) * load(gains + c) - load(mean + group + c) -
                        centred * scale * load(correlation + group + c));
    }
    void through_normalisation(int l, const Place& place, const T* g, const T* mean,
                               const T* correlation, T* to) const {
        const LayerTape<T>& tape = layer[l];
        const Source from = source(l, place);
        const size_t group = this->group(place.example), row = place.row * filters;
        for (int c = 0; c < filters; c += L)
            store(to + c, through_normalisation(tape, from, group, load(tape.centred + row + c), c,
                                                g, mean, correlation));
    }

    template <typename Make>
    void finish_kernel(int task, int l, const T* x2, const T* g2, const Parameters<T>& gradient,
                       Make make) {
        const LayerShape& shape = net.layer[l];
        T* to = gradient.kernel[l].of(task);
        const bool is_whole =
            shape.real_filters == shape.filters && shape.real_inputs == shape.inputs;
        T* sum = is_whole ? to : total;
        kernel_gradient<T>(count, shape, input(l), x2, g2, sum, space, make);
        if (!is_whole) without_padding(shape, total, to);
    }

    // ---- A first layer that reads patches ----
    // Its input never changes. With x the patches less their mean m over all positions of all examples,
    // and S = mean(x^T x), a kernel w has Z = x w + m w, with the mean m w and the variances
    // diag(w^T S w). Of G no more is needed than its sum and P = x^T G, for the passes are linear in x,
    // G and their tangents; v is the direction of w. So of this layer only outputs are in memory, and
    // the normalisation is folded into the kernel.

    STAGE void form_patches(const T* from) {
        const LayerShape& shape = net.layer[0];
        const int length = patch(), positions = shape.positions(), columns = (length + L - 1) / L * L;
        const size_t rows = size_t(count) * positions;
        std::vector<T> padded(shape.image()), products(size_t(length) * columns);
        std::vector<double> mean(length), second(products.size());
        T* to = patches;
        for (int e = 0; e < count; e++, from += size_t(shape.inputs) * shape.in * shape.in) {
            pad_image(from, padded.data());
            for (int i = 0; i < shape.out; i++)
                for (int j = 0; j < shape.out; j++, to += length) {
                    const size_t corner = size_t(shape.stride) * (i * shape.padded() + j);
                    gather(&padded[corner * shape.inputs], size_t(shape.padded()) * shape.inputs,
                           3 * shape.inputs, to);
                    for (int k = 0; k < length; k++) mean[k] += to[k];
                }
        }
        for (int k = 0; k < length; k++) patch_mean[k] = mean[k] / rows;
        for (int e = 0; e < count; e++) {
            T* x = patches + size_t(e) * positions * length;
            for (int p = 0; p < positions; p++)
                for (int k = 0; k < length; k++) x[p * length + k] -= patch_mean[k];
            // A row's columns beyond its own are the next row's, and their sums are left.
            std::fill(products.begin(), products.end(), T(0));
            const T* row[GRADIENT_ROWS];
            for (int p = 0, n; p < positions; p += n) {
                n = std::min(GRADIENT_ROWS, positions - p);
                for (int r = 0; r < n; r++) row[r] = x + size_t(p + r) * length;
                outer_product<T>(n, row, length, row, columns, products.data());
            }
            for (size_t at = 0; at < second.size(); at++) second[at] += products[at];
        }
        for (int k = 0; k < length; k++)
            for (int j = 0; j < length; j++)
                patch_moments[k * length + j] = second[size_t(k) * columns + j] / rows;
    }

    T number_of_patches() const { return T(count) * net.layer[0].positions(); }

    // A kernel [patch, real filters], padded with zeros.
    void padded_kernel(const T* from, T* to) const {
        for (size_t k = 0; k < patch(); k++, to += filters) {
            std::fill_n(to, filters, T(0));
            if (from) std::copy_n(from + k * net.real_filters, net.real_filters, to);
        }
    }

    // of^T @ kernel for each row of of [rows, patch].
    void times_kernel(int rows, const T* of, const T* kernel, T* to) const {
        std::fill_n(to, size_t(rows) * filters, T(0));
        for (int row = 0; row < rows; row++, to += filters)
            for (size_t k = 0; k < patch(); k++)
                for (int c = 0; c < filters; c++)
                    to[c] += of[row * patch() + k] * kernel[k * filters + c];
    }

    // The sum over the taps of a times b, both [patch, filters].
    void over_taps(const T* a, const T* b, T* to) const {
        std::fill_n(to, filters, T(0));
        for (size_t k = 0; k < patch(); k++)
            for (int c = 0; c < filters; c++) to[c] += a[k * filters + c] * b[k * filters + c];
    }

    // w, S w, and the mean and the variances of Z.
    void first_statistics(const T* kernel) {
        LayerTape<T>& tape = layer[0];
        padded_kernel(kernel, w);
        times_kernel(patch(), patch_moments, w, moments);
        times_kernel(1, patch_mean, w, tape.mean);
        over_taps(w, moments, tape.scale);
        if (net.normalisation == NONE) std::fill_n(tape.mean, filters, T(0));
    }

    // What C has beside x w: m w less the mean that normalises. Zero with a pass's own statistics.
    void centred_offset(T* to) const {
        times_kernel(1, patch_mean, w, to);
        for (int c = 0; c < filters; c++) to[c] -= layer[0].mean[c];
    }

    // The patches from which an output is computed: one, or the four that pooling takes one of.
    template <bool POOLED>
    const T* patch_of(int e, int i, int j, int which) const {
        const size_t out = net.layer[0].out, y = POOLED ? 2 * i + which / 2 : i;
        const size_t x = POOLED ? 2 * j + which % 2 : j;
        return patches + ((e * out + y) * out + x) * patch();
    }

    // The output from x kernel + shift: with pooling the largest of four, and of that what is positive.
    // Or, where the output of the pass is given, a tangent of it: what pooling took there, where that
    // output is positive.
    void first_outputs(const T* kernel, const T* shift, const T* passed, T* output) const {
        net.pooled ? first_product<true>(kernel, shift, passed, output)
                   : first_product<false>(kernel, shift, passed, output);
    }
    template <bool POOLED>
    STAGE void first_product(const T* kernel, const T* shift, const T* passed, T* output) const {
        constexpr int EACH = POOLED ? 4 : 1;
        const int after = net.layer[0].after;
        const Weight<T> b{kernel, 1, size_t(filters)};
        const T* a[1][BLOCK_ROWS];
        T *to[BLOCK_ROWS], *codes[BLOCK_ROWS], *code = layer[0].codes;
        size_t at[BLOCK_ROWS];
        int filled = 0;
        auto work = [&] {
            rows_product<T>(EACH * filled, 1, a, &b, patch(), filters, to);
            each_columns<T>(filters, [&](auto vectors, int from) {
                constexpr int N = decltype(vectors)::value;
                Vector<T> more[N];
                for (int n = 0; n < N; n++) more[n] = load(shift + from + n * L);
                for (int r = 0; r < filled; r++)
                    for (int n = 0, c = from; n < N; n++, c += L) {
                        Vector<T> y = load(to[EACH * r] + c);
                        if constexpr (POOLED)
                            y = passed ? of_code(to + 4 * r, c, load(codes[r] + c))
                                       : largest(to + 4 * r, c, codes[r] + c);
                        y += more[n];
                        const auto stops = (passed ? load(passed + at[r] + c) : y) <= 0;
                        store(output + at[r] + c, stops ? Vector<T>{} : y);  // NaN stays
                    }
            });
            filled = 0;
        };
        for (int e = 0; e < count; e++)
            for (int i = 0; i < after; i++) {
                const size_t line = line_of_output(0, e, i);
                for (int j = 0; j < after; j++) {
                    at[filled] = line + size_t(j) * filters;
                    for (int k = 0; k < EACH; k++) {
                        const int row = EACH * filled + k;
                        a[0][row] = patch_of<POOLED>(e, i, j, k);
                        to[row] = POOLED ? block + size_t(row) * filters : output + at[filled];
                    }
                    if constexpr (POOLED) codes[filled] = code, code += filters;
                    if (EACH * ++filled == BLOCK_ROWS) work();
                }
            }
        if (filled) work();
    }
    // Of four rows the largest of each column, and which it is; and that which a code says.
    static Vector<T> largest(const T* const* row, int c, T* code_at) {
        Vector<T> best = load(row[0] + c), code{};
        for (int k = 1; k < 4; k++) {
            const Vector<T> y = load(row[k] + c);
            const auto better = (y > best) | (y != y);  // NaN stays
            best = better ? y : best;
            code = better ? all(T(k)) : code;
        }
        store(code_at, code);
        return best;
    }
    static Vector<T> of_code(const T* const* row, int c, Vector<T> code) {
        Vector<T> of = load(row[0] + c);
        for (int k = 1; k < 4; k++) of = code == all(T(k)) ? load(row[k] + c) : of;
        return of;
    }

    // The output, from the mean and r. Leaves w.
    void activate_first() {
        LayerTape<T>& tape = layer[0];
        centred_offset(averages);
        for (int c = 0; c < filters; c++) {
            gains[c] *= tape.scale[c];
            shifts[c] += gains[c] * averages[c];
        }
        for (size_t k = 0; k < patch(); k++)
            for (int c = 0; c < filters; c++)
                folded[k * filters + c] = gains[c] * w[k * filters + c];
        first_outputs(folded, shifts, nullptr, tape.output);
    }

    // Adds G, which is g where the output is positive, to its sums over each example and to P. g has
    // all rows, or these one after the other.
    void back_through_first(int rows, const Place* row, T* g, bool has_all, T* of,
                            T* g_kernel) const {
        net.pooled ? through_first_relu<true>(rows, row, g, has_all, of, g_kernel)
                   : through_first_relu<false>(rows, row, g, has_all, of, g_kernel);
    }
    template <bool POOLED>
    STAGE void through_first_relu(int rows, const Place* row, T* g, bool has_all, T* of,
                                   T* g_kernel) const {
        constexpr int EACH = POOLED ? 4 : 1, AT_ONCE = BLOCK_ROWS / EACH;
        const T *x[BLOCK_ROWS], *of_g[BLOCK_ROWS];
        for (int begin = 0, end; begin < rows; begin = end) {
            const int e = row[begin].example;
            for (end = begin; end < rows && end < begin + AT_ONCE && row[end].example == e; end++)
                for (int k = 0, at = EACH * (end - begin); k < EACH; k++, at++) {
                    x[at] = patch_of<POOLED>(e, row[end].i, row[end].j, k);
                    of_g[at] = POOLED ? block + size_t(at) * filters
                                      : g + (has_all ? row[end].row : end) * filters;
                }
            each_columns<T>(filters, [&](auto vectors, int from) {
                constexpr int N = decltype(vectors)::value;
                Vector<T> sum[N]{};
                for (int q = begin; q < end; q++) {
                    const T* y = layer[0].output + place_of_output(0, row[q]);
                    T* at = g + (has_all ? row[q].row : q) * filters;
                    for (int n = 0, c = from; n < N; n++, c += L) {
                        const Vector<T> passed = load(y + c) > 0 ? load(at + c) : Vector<T>{};
                        sum[n] += passed;
                        if constexpr (POOLED) {
                            const Vector<T> code = load(layer[0].codes + row[q].row * filters + c);
                            T* to = block + size_t(4) * (q - begin) * filters + c;
                            for (int k = 0; k < 4; k++, to += filters)
                                store(to, code == all(T(k)) ? passed : Vector<T>{});
                        } else {
                            store(at + c, passed);
                        }
                    }
                }
                for (int n = 0, c = from; n < N; n++, c += L)
                    add(of + size_t(e) * filters + c, sum[n]);
            });
            outer_product<T>(EACH * (end - begin), x, patch(), of_g, filters, g_kernel);
        }
    }

    // The sum of G times C; with_centred has it in its first example. Leaves w, S w and, in averages,
    // the sum of G.
    void sum_with_centred(const T* kernel, const T* of, const T* g_kernel, T* with_centred) {
        padded_kernel(kernel, w);
        times_kernel(patch(), patch_moments, w, moments);
        over_taps(w, g_kernel, with_centred);
        centred_offset(averages2);
        sum_examples(of, averages);
        for (int c = 0; c < filters; c++) with_centred[c] += averages2[c] * averages[c];
    }
    void sum_examples(const T* of, T* to) const {
        std::copy_n(of, filters, to);
        for (int e = 1; e < count; e++)
            for (int c = 0; c < filters; c++) to[c] += of[size_t(e) * filters + c];
    }

    // The patches, transposed, times g_Z = r s G - r mean(u) - r^2 mean(Y u) C.
    void first_gradient(T* to) const {
        const LayerTape<T>& tape = layer[0];
        const T n = number_of_patches();
        for (size_t k = 0; k < patch(); k++)
            for (int c = 0; c < net.real_filters; c++) {
                const size_t p = k * filters + c;
                const T r = tape.scale[c];
                const T sum = gains[c] * averages[c] - n * tape.g_mean[c];
                *to++ = r * (gains[c] * tape.g_kernel[p] + patch_mean[k] * sum -
                             n * r * tape.g_correlation[c] * moments[p]);
            }
    }

    // The tangent of the output, and what tangent_backward takes of that of Y,
    // dY = r (x v + m v - mean(dZ) - r mean(Y dZ) C).
    void d_activate_first(const T* kernel, const T* d_kernel, T* d_output) {
        LayerTape<T>& tape = layer[0];
        padded_kernel(kernel, w);
        padded_kernel(d_kernel, v);
        T *k = tape.d_correlation, *cross = tape.d_cross, *offset = averages2, *d_offset = averages;
        if (net.normalisation == BATCH) {
            times_kernel(patch(), patch_moments, w, moments);
            over_taps(v, moments, k);
            for (int c = 0; c < filters; c++) k[c] *= tape.scale[c];
            std::fill_n(d_offset, filters, T(0));
        } else {
            std::fill_n(k, filters, T(0));
            times_kernel(1, patch_mean, v, d_offset);
        }
        centred_offset(offset);
        // The sum of dY times G.
        std::fill_n(cross, per_example(), T(0));
        over_taps(v, tape.g_kernel, cross);
        sum_examples(tape.g_sums, sums);
        sum_examples(tape.g_centred_sums, sums2);
        for (int c = 0; c < filters; c++) {
            const T r = tape.scale[c], bend = r * (d_gains[c] - gains[c] * r * k[c]);
            cross[c] = r * (cross[c] + d_offset[c] * sums[c] - r * k[c] * sums2[c]);
            d_shifts[c] += gains[c] * r * d_offset[c] + bend * offset[c];
            for (size_t t = c; t < first_kernel(); t += filters)
                folded[t] = gains[c] * r * v[t] + bend * w[t];
        }
        first_outputs(folded, d_shifts, tape.output, d_output);
    }

    // The patches, transposed, times dg_Z; total is those times dG, shifts has the sum of du, and
    // averages and averages2 are as in tangent_backward.
    void d_first_gradient(const T* d_kernel, T* to, bool moves) {
        const LayerTape<T>& tape = layer[0];
        const T n = number_of_patches();
        padded_kernel(moves ? d_kernel : nullptr, v);
        times_kernel(patch(), patch_moments, v, folded);
        for (size_t k = 0; k < patch(); k++)
            for (int c = 0; c < net.real_filters; c++) {
                const size_t p = k * filters + c;
                const T r = tape.scale[c], mean = tape.g_correlation[c];
                const T d_mean = moves ? tape.d_correlation[c] : 0;
                const T of_g = d_gains[c] - r * d_mean * gains[c];
                const T of_centred = r * (2 * r * mean * d_mean - averages2[c]);
                *to++ = r * (gains[c] * total[p] + of_g * tape.g_kernel[p] +
                             n * (of_centred * moments[p] - r * mean * folded[p]) +
                             patch_mean[k] * (shifts[c] - n * averages[c]));
            }
    }

    // ---- Hessian product ----

    static bool has_body(const Parameters<T>& direction, int layers) {
        for (int l = 0; l < layers; l++)
            if (direction.kernel[l].data || direction.shift[l].data || direction.scale[l].data)
                return true;
        return false;
    }

    // d_logits [count, way] in a direction.
    STAGE void tangent(int task, const Parameters<T>& values, const Parameters<T>& direction,
                       T* d_logits) {
        const bool moves = has_body(direction, net.layers);
        for (int l = 0; l < net.layers && moves; l++) tangent_of_layer(task, l, values, direction);
        if (moves)
            gather_features(g_output, d_features);
        else
            std::fill_n(d_features, hidden_features(), T(0));
        if (!values.head.of(task)) return without_padding_features(d_features, d_logits);
        std::fill_n(d_logits, size_t(count) * net.way, T(0));
        head(d_features, values.head.of(task), nullptr, d_logits);
        head(features, direction.head.of(task), direction.bias.of(task), d_logits);
    }

    STAGE void tangent_of_layer(int task, int l, const Parameters<T>& values,
                                const Parameters<T>& direction) {
        const LayerShape& shape = net.layer[l];
        LayerTape<T>& tape = layer[l];
        const T* d_kernel = direction.kernel[l].of(task);
        padded_vector(values.scale[l].of(task), 1, gains);
        padded_vector(values.shift[l].of(task), 0, shifts);
        padded_vector(direction.scale[l].of(task), 0, d_gains);
        padded_vector(direction.shift[l].of(task), 0, d_shifts);
        if (from_patches(l))
            return d_activate_first(values.kernel[l].of(task), d_kernel,
                                    l + 1 < net.layers ? layer[l + 1].d_input : g_output);
        if (l > 0 || d_kernel) {
            convolve<T>(count, shape, input(l), d_kernel, tape.d_input, values.kernel[l].of(task),
                        tape.d_normalised, sums, tape.centred, sums2, space);
        } else {
            std::fill_n(tape.d_normalised, rows(l), T(0));
            std::fill_n(sums, per_example(), T(0));
            std::fill_n(sums2, per_example(), T(0));
        }
        group_means(l, sums, nullptr, averages);
        group_means(l, sums2, nullptr, tape.d_correlation);
        for (size_t p = 0; p < per_group(); p++) tape.d_correlation[p] *= tape.scale[p];
        d_activate(l, l + 1 < net.layers ? layer[l + 1].d_input : g_output);
    }

    // dY in place of dZ, and the tangent of the output; sums over each example of dY times G.
    STAGE void d_activate(int l, T* d_output) const {
        const LayerShape& shape = net.layer[l];
        const LayerTape<T>& tape = layer[l];
        const int out = shape.out, after = shape.after;
        const size_t line = size_t(out) * filters;
        for (int e = 0; e < count; e++) {
            const T *r = tape.scale + group(e), *m = averages + group(e);
            const T* k = tape.d_correlation + group(e);
            T* d = tape.d_normalised + e * out * line;
            T* cross = tape.d_cross + size_t(e) * filters;
            const T* centred = tape.centred + e * out * line;
            T* part = averages2;  // of a line: long sums lose digits
            std::fill_n(cross, filters, T(0));
            std::fill_n(part, filters, T(0));
            size_t row = 0;
            for (int i = 0; i < after; i++) {
                const int lines = i + 1 == after ? out : net.pooled ? 2 * i + 2 : i + 1;
                for (; row < lines * line; row += filters)
                    for (int c = 0; c < filters; c += L) {
                        const Vector<T> scale = load(r + c);
                        store(d + row + c, scale * (load(d + row + c) - load(m + c) -
                                                    load(centred + row + c) * scale * load(k + c)));
                    }
                const size_t to = line_of_output(l, e, i);
                const size_t kept_at = (size_t(e) * after + i) * after * filters;
                for (int j = 0; j < after; j++)
                    for (int c = 0; c < filters; c += L) {
                        const size_t p = size_t(j) * filters + c, at = kept_at + p;
                        Vector<T> taken;
                        if (net.pooled) {
                            const T* from = d + 2 * i * line + 2 * size_t(j) * filters;
                            const T* const window[] = {from, from + filters, from + line,
                                                       from + line + filters};
                            taken = of_code(window, c, load(tape.codes + at));
                            store(tape.d_chosen + at, taken);
                        } else {
                            taken = load(tape.d_chosen + at);
                        }
                        add(part + c, taken * load(tape.g_gained + at));
                        const Vector<T> scale = load(r + c), centred = load(tape.chosen + at);
                        const Vector<T> y = centred * (scale * load(gains + c)) + load(shifts + c);
                        const Vector<T> moved = taken * load(gains + c) + load(d_shifts + c) +
                                                centred * scale * load(d_gains + c);
                        store(d_output + to + p, y > 0 ? moved : Vector<T>{});
                    }
                for (int c = 0; c < filters; c += L) {
                    add(cross + c, load(part + c));
                    store(part + c, Vector<T>{});
                }
            }
        }
    }

    // The derivative of backward's gradient in the direction of the tangent, given that of its g.
    // Of a pass normalised by its own statistics.
    STAGE void tangent_backward(int task, const Parameters<T>& values,
                                const Parameters<T>& direction, const T* g, const T* dg,
                                const Parameters<T>& result) {
        const bool moves = has_body(direction, net.layers);
        std::fill_n(g_features, hidden_features(), T(0));
        if (values.head.of(task)) {
            T *weight = result.head.of(task), *bias = result.bias.of(task);
            std::fill_n(weight, size_t(net.features) * net.way, T(0));
            std::fill_n(bias, net.way, T(0));
            if (moves) head_outer(d_features, g, weight, nullptr);
            head_outer(features, dg, weight, bias);
            head_back(dg, values.head.of(task), g_features);
            if (direction.head.of(task)) head_back(g, direction.head.of(task), g_features);
        } else {
            with_padding_features(dg, g_features);
        }
        for (int l = net.layers - 1; l >= 0; l--) {
            LayerTape<T>& tape = layer[l];
            back_to(task, l, values, &direction, dg_gained, sums, sums2, total);
            if (!moves) std::fill_n(tape.d_cross, per_example(), T(0));
            norm_gradients(l, sums, sums2, tape.d_cross, result.shift[l].of(task),
                           result.scale[l].of(task));
            padded_vector(direction.scale[l].of(task), 0, d_gains);
            // du = s dG + ds G
            for (int e = 0; e < count; e++)
                for (int c = 0; c < filters; c++) {
                    const size_t p = size_t(e) * filters + c;
                    sums[p] = gains[c] * sums[p] + d_gains[c] * tape.g_sums[p];
                    sums2[p] = gains[c] * sums2[p] + d_gains[c] * tape.g_centred_sums[p];
                }
            if (from_patches(l)) sum_examples(sums, shifts);
            group_means(l, sums, nullptr, averages);
            group_means(l, sums2, nullptr, averages2);
            for (size_t p = 0; p < per_group(); p++) averages2[p] *= tape.scale[p];
            group_means(l, tape.d_cross, gains, sums);
            for (size_t p = 0; p < per_group(); p++) averages2[p] += sums[p];
            if (from_patches(l)) {
                d_first_gradient(direction.kernel[l].of(task), result.kernel[l].of(task), moves);
                continue;
            }
            const bool bends = direction.scale[l].of(task), both = moves && l > 0;
            finish_kernel(task, l, both ? tape.d_input : nullptr, tape.g_product, result,
                          [&](int slot, const Place& place) {
                              T* to = dense + (l > 0 ? place.row : slot) * filters;
                              if (moves)
                                  d_through_normalisation(l, place, bends, to);
                              else
                                  through_normalisation(l, place, dg_gained, averages, averages2,
                                                        to);
                              return to;
                          });
        }
    }

    // dg_Z = J(du) - r (mean(Y dZ) g_Z + mean(Y u) dY + mean(dY u) Y)
    void d_through_normalisation(int l, const Place& place, bool bends, T* to) const {
        const LayerTape<T>& tape = layer[l];
        const Source from = source(l, place);
        const size_t g = group(place.example), row = place.row * filters;
        for (int c = 0; c < filters; c += L) {
            const Vector<T> r = load(tape.scale + g + c), centred = load(tape.centred + row + c);
            Vector<T> value = through_normalisation(tape, from, g, centred, c, dg_gained, averages,
                                                    averages2);
            if (bends) value += r * dense_value(tape, tape.g_gained, from, c) * load(d_gains + c);
            if (net.normalisation != NONE) {
                const Vector<T> g_product =
                    l ? load(tape.g_product + row + c)
                      : through_normalisation(tape, from, g, centred, c, tape.g_gained, tape.g_mean,
                                              tape.g_correlation);
                value -= r * (load(tape.d_normalised + row + c) * load(tape.g_correlation + g + c) +
                              g_product * load(tape.d_correlation + g + c));
            }
            store(to + c, value);
        }
    }
};

// ---- Threads ------------------------------------------------------------------------------------

// Threads that wait for work. They are never ended: the process ends them.
class Pool {
   public:
    // Calls work with each task and the number of the thread that does it, 0 being the caller; false:
    // another caller has the threads.
    bool run(int tasks, int threads, const std::function<void(int, int)>& work) {
        std::unique_lock<std::mutex> only(busy_, std::try_to_lock);
        if (!only.owns_lock()) return false;
        if (owner_ != getpid()) {  // a fork has none of its parent's threads
            owner_ = getpid();
            started_ = 0;
        }
        {
            std::lock_guard<std::mutex> lock(mutex_);
            work_ = &work;
            tasks_ = tasks;
            helpers_ = threads - 1;
            next_ = 0;
            working_ = 0;
            round_++;
            for (; started_ < threads - 1; started_++)
                std::thread(&Pool::help, this, started_ + 1, round_ - 1).detach();
        }
        wake_.notify_all();
        take_tasks(0);
        std::unique_lock<std::mutex> lock(mutex_);
        helpers_ = 0;  // whoever has not begun yet need not
        done_.wait(lock, [&] { return working_ == 0; });
        work_ = nullptr;
        return true;
    }

   private:
    void take_tasks(int thread) {
        for (int task; (task = next_.fetch_add(1)) < tasks_;) (*work_)(task, thread);
    }
    void help(int thread, uint64_t seen) {
        std::unique_lock<std::mutex> lock(mutex_);
        for (;;) {
            wake_.wait(lock, [&] { return round_ != seen && thread <= helpers_; });
            seen = round_;
            working_++;
            lock.unlock();
            take_tasks(thread);
            lock.lock();
            if (--working_ == 0) done_.notify_one();
        }
    }

    std::mutex busy_, mutex_;
    std::condition_variable wake_, done_;
    const std::function<void(int, int)>* work_ = nullptr;
    int tasks_ = 0, helpers_ = 0, working_ = 0, started_ = 0;
    std::atomic<int> next_{0};
    uint64_t round_ = 0;
    pid_t owner_ = 0;
};

// Calls work with each task, on so many threads; callers beyond the first two do all themselves.
void run(int tasks, int threads, const std::function<void(int, int)>& work) {
    static Pool* const pools = new Pool[2];
    threads = std::min(threads, tasks);
    if (threads > 1 && (pools[0].run(tasks, threads, work) || pools[1].run(tasks, threads, work)))
        return;
    for (int task = 0; task < tasks; task++) work(task, 0);
}

}  // namespace

// SCALAR is float or double; each gets a library of its own.
extern "C" {

// A block of tasks, as native.py lays it out: each array is that of the first task, and the next
// one's follows after as many scalars as the sizes say.
struct Block {
    Description network;
    int examples, tasks, threads, keeps;
    SCALAR *images, *forward, *backward, *tangent, *scratch;
};  // scratch, and backward unless it is kept, are those of the first thread

enum { IMAGES, FORWARD, BACKWARD, TANGENT, SCRATCH, SIZES };

// Scalars that each array of one task needs, [SIZES]; all zero before they are first used.
void sizes(const Block* block, size_t* to) {
    const Network net(block->network, Lanes<SCALAR>::count);
    Task<SCALAR> task(net, block->examples);
    to[IMAGES] = task.take_images(nullptr);
    to[FORWARD] = task.take_forward(nullptr);
    to[BACKWARD] = task.take_backward(nullptr);
    to[TANGENT] = task.take_tangent(nullptr);
    to[SCRATCH] = task.take_scratch(nullptr);
}

}  // extern "C"

namespace {

// Calls work with each task of the block, on its threads.
template <typename Work>
void each_task(const Block* block, Work work) {
    const Network net(block->network, Lanes<SCALAR>::count);
    size_t size[SIZES];
    sizes(block, size);
    run(block->tasks, block->threads, [&](int number, int thread) {
        Task<SCALAR> task(net, block->examples);
        auto at = [&](SCALAR* base, int kind, int index) {
            return base ? base + index * size[kind] : nullptr;
        };
        task.take_images(at(block->images, IMAGES, number));
        task.take_forward(at(block->forward, FORWARD, number));
        task.take_backward(at(block->backward, BACKWARD, block->keeps ? number : thread));
        task.take_tangent(at(block->tangent, TANGENT, number));
        task.take_scratch(at(block->scratch, SCRATCH, thread));
        work(task, net, number);
    });
}

size_t outputs(const Network& net, const Parameters<SCALAR>* values) {
    return values->head.data ? net.way : net.features;
}

}  // namespace

extern "C" {

void see(const Block* block, const SCALAR* images) {
    each_task(block, [&](Task<SCALAR>& task, const Network& net, int number) {
        const LayerShape& first = net.layer[0];
        task.see(images + size_t(number) * task.count * first.real_inputs * first.in * first.in);
    });
}

void forward(const Block* block, const Parameters<SCALAR>* values, const Parameters<SCALAR>* given,
             SCALAR* logits, SCALAR* statistics) {
    each_task(block, [&](Task<SCALAR>& task, const Network& net, int number) {
        task.forward(number, *values, given,
                     logits + number * task.count * outputs(net, values),
                     statistics ? statistics + size_t(number) * net.layers * 2 * net.real_filters
                                : nullptr);
    });
}

void backward(const Block* block, const Parameters<SCALAR>* values, int is_fixed, const SCALAR* g,
              const Parameters<SCALAR>* gradient) {
    each_task(block, [&](Task<SCALAR>& task, const Network& net, int number) {
        task.backward(number, *values, is_fixed, g + number * task.count * outputs(net, values),
                      *gradient);
    });
}

void tangent(const Block* block, const Parameters<SCALAR>* values,
             const Parameters<SCALAR>* direction, SCALAR* d_logits) {
    each_task(block, [&](Task<SCALAR>& task, const Network& net, int number) {
        task.tangent(number, *values, *direction,
                     d_logits + number * task.count * outputs(net, values));
    });
}

void tangent_backward(const Block* block, const Parameters<SCALAR>* values,
                      const Parameters<SCALAR>* direction, const SCALAR* g, const SCALAR* dg,
                      const Parameters<SCALAR>* result) {
    each_task(block, [&](Task<SCALAR>& task, const Network& net, int number) {
        const size_t at = number * task.count * outputs(net, values);
        task.tangent_backward(number, *values, *direction, g + at, dg + at, *result);
    });
}

}  // extern "C"

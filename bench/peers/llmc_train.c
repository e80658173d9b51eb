// A training step of llm.c (github.com/karpathy/llm.c, train_gpt2.c) in the shape of `tempera bench train --model gpt`.
//
//   cc -Ofast -march=native -fopenmp -DTESTING -I LLM.C/ -o llmc_train llmc_train.c -lm
//   OMP_NUM_THREADS=1 ./llmc_train LAYERS DIM HEADS VOCAB BATCH SEQ STEPS WARMUP
//
// LLM.C/ is a checkout of that repository, of which no line is copied here. Its MLP is 4 DIM wide and its head is tied. Unlike the others it
// does not clip the gradient. Prints one JSON line with the keys of the other peers.
#include "train_gpt2.c"

static uint32_t draw(uint64_t *state) { // Knuth's linear congruential generator
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 32;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    if (argc != 9) {
        fprintf(stderr, "usage: %s LAYERS DIM HEADS VOCAB BATCH SEQ STEPS WARMUP\n", argv[0]);
        return 2;
    }
    int batch = atoi(argv[5]), seq = atoi(argv[6]), steps = atoi(argv[7]), warmup = atoi(argv[8]);
    GPT2 model = {0};
    model.config.num_layers = atoi(argv[1]);
    model.config.channels = atoi(argv[2]);
    model.config.num_heads = atoi(argv[3]);
    model.config.vocab_size = model.config.padded_vocab_size = atoi(argv[4]);
    model.config.max_seq_len = seq;
    fill_in_parameter_sizes(model.param_sizes, model.config);
    for (int i = 0; i < NUM_PARAMETER_TENSORS; i++) {
        model.num_parameters += model.param_sizes[i];
    }
    model.params_memory = malloc_and_point_parameters(&model.params, model.param_sizes);
    uint64_t state = 1337;
    for (size_t i = 0; i < model.num_parameters; i++) {
        model.params_memory[i] = 0.04f * (draw(&state) / 4294967296.0f - 0.5f);
    }
    for (size_t i = 0; i < model.config.num_layers * model.config.channels; i++) {
        model.params.ln1w[i] = model.params.ln2w[i] = 1;
    }
    for (size_t i = 0; i < model.config.channels; i++) {
        model.params.lnfw[i] = 1;
    }
    int *ids = mallocCheck((batch * seq + 1) * sizeof(int));
    for (int i = 0; i <= batch * seq; i++) {
        ids[i] = draw(&state) % model.config.vocab_size;
    }
    double *ms = mallocCheck(steps * sizeof(double)), first = 0;
    for (int step = 0; step < warmup + steps; step++) {
        struct timespec start, end;
        clock_gettime(CLOCK_MONOTONIC, &start);
        gpt2_forward(&model, ids, ids + 1, batch, seq);
        gpt2_zero_grad(&model);
        gpt2_backward(&model);
        gpt2_update(&model, 3e-4f, 0.9f, 0.95f, 1e-8f, 0.1f, step + 1);
        clock_gettime(CLOCK_MONOTONIC, &end);
        if (step == 0) {
            first = model.mean_loss;
        }
        if (step >= warmup) {
            ms[step - warmup] = (end.tv_sec - start.tv_sec) * 1e3 + (end.tv_nsec - start.tv_nsec) / 1e6;
        }
    }
    qsort(ms, steps, sizeof(double), compare);
    double median = (ms[(steps - 1) / 2] + ms[steps / 2]) / 2;
    printf("{\"peer\": \"llm.c\", \"model\": \"gpt\", \"loss\": \"lm\", \"params\": %zu, \"batch\": %d, \"seq\": %d, \"step_ms\": %.2f, \"min_step_ms\": %.2f, \"items_per_s\": %.1f, \"first_loss\": %.4f, \"last_loss\": %.4f}\n",
           model.num_parameters, batch, seq, median, ms[0], batch * seq / median * 1e3, first, model.mean_loss);
    return 0;
}

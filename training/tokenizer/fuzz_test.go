package tokenizer

import (
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
)

// FuzzRoundTrip: any bytes come back, whatever the tokenizer, and long words are
// merged as the plain algorithm merges them.
func FuzzRoundTrip(f *testing.F) {
	tok := trained(f, TrainOptions{VocabSize: 450})
	for _, s := range append(corpus(), "", "\xff\xfe[PAD]\x00", "  a  \n[EOS]", strings.Repeat("aab", 100)) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ids := tok.Encode(text)
		if got := tok.Decode(ids); got != text {
			t.Fatalf("%q comes back as %q", text, got)
		}
		if got := tok.Decode(tok.EncodePlain(text)); got != text {
			t.Fatalf("%q comes back as %q", text, got)
		}
		if text != "" {
			b := tok.model.(*bpe)
			if got, want := b.encode(nil, text), plainMerge(b, text); !slices.Equal(got, want) {
				t.Fatalf("%q merges to %v, want %v", text, got, want)
			}
		}
	})
}

// plainMerge applies the merges to the bytes of a word one after the other.
func plainMerge(b *bpe, word string) []int32 {
	var ids []int32
	for i := range len(word) {
		ids = append(ids, b.starts[0][word[i]])
	}
	for {
		best := -1
		for i := 1; i < len(ids); i++ {
			m, ok := b.merges[pairOf(ids[i-1], ids[i])]
			if ok && (best < 0 || m.rank < b.merges[pairOf(ids[best-1], ids[best])].rank) {
				best = i
			}
		}
		if best < 0 {
			return ids
		}
		ids[best-1] = b.merges[pairOf(ids[best-1], ids[best])].id
		ids = slices.Delete(ids, best, best+1)
	}
}

func FuzzParse(f *testing.F) {
	b, err := trained(f, TrainOptions{VocabSize: 270, Template: []string{"[BOS]", "$A"}}).JSON()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"model":{"type":"BPE","vocab":{},"merges":[]}}`))
	for _, path := range tokenizerFiles(f, "testdata/small") {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		tok, err := Parse(data)
		if err != nil {
			return
		}
		tok.Decode(tok.EncodeSpecial("a [BOS] \xff 日本 <0xE2>"))
		if _, err := tok.JSON(); err != nil {
			t.Fatal(err)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	tok := trained(b, TrainOptions{VocabSize: 1000})
	text := strings.Repeat(strings.Join(corpus(), " ")+" ", 20)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		tok.Encode(text)
	}
}

func BenchmarkEncodeUnknownWords(b *testing.B) {
	tok := trained(b, TrainOptions{VocabSize: 1000})
	text := randomWords(20_000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		for i := range tok.cache {
			tok.cache[i].Store(nil)
		}
		tok.Encode(text)
	}
}

// BenchmarkTrain learns 8192 tokens of 200,000 different words.
func BenchmarkTrain(b *testing.B) {
	text := randomWords(200_000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := Train(slices.Values([]string{text}), TrainOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

// randomWords makes words of 3 to 12 letters, most of them different.
func randomWords(n int) string {
	rng := rand.New(rand.NewPCG(1, 2))
	var w strings.Builder
	for range n {
		w.WriteByte(' ')
		for range 3 + rng.IntN(10) {
			w.WriteByte("eeeetttaaooiinnsshhrrdlucmfw"[rng.IntN(28)])
		}
	}
	return w.String()
}

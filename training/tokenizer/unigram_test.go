package tokenizer

import (
	"slices"
	"strings"
	"testing"
)

// TestUnigramTakesTheLikeliestTokens compares with trying every way to cut a
// word.
func TestUnigramTakesTheLikeliestTokens(t *testing.T) {
	m, _, err := readUnigram([]byte(`{"unk_id":0,"vocab":[["<unk>",0],["a",-2],["aa",-3.5],["aab",-4],["b",-2.5],["ab",-4],["ba",-4.25]]}`))
	if err != nil {
		t.Fatal(err)
	}
	u := m.(*unigram)
	for n := range 1 << 9 {
		word := strings.NewReplacer("0", "a", "1", "b").Replace(binary(n))
		got := u.encode(nil, word)
		if score := u.scoreOf(got); score < u.bestScore(word)-1e-9 {
			t.Fatalf("%q gives %v of score %v, the best has %v", word, got, score, u.bestScore(word))
		}
	}
}

func binary(n int) string {
	var b strings.Builder
	for ; n > 0; n >>= 1 {
		b.WriteByte(byte('0' + n&1))
	}
	return b.String()
}

func (u *unigram) scoreOf(ids []int32) float64 {
	sum := 0.0
	for _, id := range ids {
		sum += u.scores[id]
	}
	return sum
}

func (u *unigram) bestScore(word string) float64 {
	if word == "" {
		return 0
	}
	best := -1e9
	for name, id := range u.ids {
		if strings.HasPrefix(word, name) {
			best = max(best, u.scores[id]+u.bestScore(word[len(name):]))
		}
	}
	return best
}

func TestOfEquallyLikelyWaysTheLastTokenThatBeginsFirstCounts(t *testing.T) {
	m, _, err := readUnigram([]byte(`{"unk_id":0,"vocab":[["<unk>",0],["a",-2],["aa",-3]]}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := m.encode(nil, "aaa"); !slices.Equal(got, []int32{1, 2}) {
		t.Fatalf("got %v", got)
	}
}

func TestUnknownRunesAreOneToken(t *testing.T) {
	for _, c := range []struct {
		name, file, word string
		want             []int32
	}{
		{"without byte tokens", `{"unk_id":0,"vocab":[["<unk>",0],["a",-1]]}`, "aéźa", []int32{1, 0, 1}},
		{"with all of its bytes", `{"unk_id":0,"byte_fallback":true,"vocab":[["<unk>",0],["<0xC3>",-9],["<0xA9>",-9],["a",-1]]}`, "aéa", []int32{3, 1, 2, 3}},
		{"with some of its bytes", `{"unk_id":0,"byte_fallback":true,"vocab":[["<unk>",0],["<0xC3>",-9],["a",-1]]}`, "aéa", []int32{2, 0, 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, _, err := readUnigram([]byte(c.file))
			if err != nil {
				t.Fatal(err)
			}
			if got := m.encode(nil, c.word); !slices.Equal(got, c.want) {
				t.Fatalf("got %v", got)
			}
		})
	}
}

func TestUnigramFilesThatCannotBeRead(t *testing.T) {
	for _, file := range []string{`{"vocab":[["a",0]]}`, `{"unk_id":1,"vocab":[["a",0]]}`, `{"unk_id":-1,"vocab":[["a",0]]}`, `{"unk_id":0,"vocab":[["a"]]}x`} {
		if _, _, err := readUnigram([]byte(file)); err == nil {
			t.Fatalf("%s is read", file)
		}
	}
}

package normalize

import "testing"

func TestLowerMapsRuneByRune(t *testing.T) {
	for in, want := range map[string]string{
		"ABC abc": "abc abc", "ÀÉ": "àé", "ΟΔΟΣ": "οδοσ", "İX": "i\u0307x", "\xffA\xc3": "\xffa\xc3", "日本": "日本",
	} {
		if got := Lower(in); got != want {
			t.Fatalf("%q becomes %q, want %q", in, got, want)
		}
	}
}

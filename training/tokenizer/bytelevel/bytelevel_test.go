package bytelevel

import "testing"

func TestNamesStandForBytes(t *testing.T) {
	all := make([]byte, 256)
	for b := range all {
		all[b] = byte(b)
	}
	if got, ok := Bytes(Name(string(all))); !ok || got != string(all) {
		t.Fatalf("got %q", got)
	}
	if got := Name(" a\né\xff"); got != "ĠaĊÃ©ÿ" {
		t.Fatalf("got %q", got)
	}
	if _, ok := Bytes("a b"); ok {
		t.Fatal("a blank names no byte")
	}
}

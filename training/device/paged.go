package device

// Paged is a backend that generation runs on: its attention reads keys and values from pages that sequences own
// in any order and may share, and it chooses tokens.
type Paged interface {
	Backend
	PagedStore(a PagedStoreArgs)
	PagedAttention(a PagedAttentionArgs)
	Pick(a PickArgs)
}

// Pages are the keys and values of one layer: Keys and Values are (pages, KVHeads, Page, D), of one type.
type Pages struct {
	Page, KVHeads, D int
	Keys, Values     *Value
}

// PagedStoreArgs writes the keys and values of Rows tokens: row r, of KV (Rows, columns) from column OffsetK and OffsetV on, KVHeads times D each, goes to
// place Slots[r], int32 (Rows), which is the page's number times Page plus the place in the page.
type PagedStoreArgs struct {
	Pages
	Rows             int
	KV               *Value
	OffsetK, OffsetV int
	Slots            *Value
}

// PagedAttentionArgs is o = softmax(Scale q kᵀ) v for Rows queries. Q is (Rows, columns) whose first H times D are the query, O is (Rows, H D); query head h uses
// key head h / (H/KVHeads); Scale 0 means 1/sqrt(D).
//
// Row r belongs to sequence Sequence[r], whose pages are row Sequence[r] of Table, int32 (sequences, pages of the longest), and sees the first Visible[r]
// of its keys; both are int32 (Rows). No row sees more than MostKeys, and each sees one at least.
type PagedAttentionArgs struct {
	Pages
	Rows, H                  int
	Q, O                     *Value
	Scale                    float32
	Table, Sequence, Visible *Value
	MostKeys                 int
}

// PickArgs chooses a token for each of Rows rows of Logits, float32 (Rows, Vocab), which it may change.
//
// Asks, int32 (Rows, 6), says how, in the bits of: one over the temperature, float32, 0 for the likeliest token, the first of equal ones; TopK, 0 for all; TopP and
// MinP, float32, 0 for all, which cut as generate.Search says; and a draw, uint64, the low half first. Its upper 53 bits are a number u in [0, 1):
// the token is the one at u of the tokens that are left, laid end to end in the order of their numbers, each as long as it is likely.
//
// Hidden, int32 (Rows, any), are tokens that are not chosen, -1 being none; nil hides none.
//
// Picked, int32 (Rows, 3), gets the token, -1 where logits are not numbers or no token is left; the bits of its log-probability, float32, under the
// model, all tokens counted; and of that under the distribution that it was drawn from, 0 where it was not.
type PickArgs struct {
	Rows, Vocab  int
	Logits, Asks *Value
	Hidden       *Value
	Picked       *Value
}

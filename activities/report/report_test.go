package report

import (
	"bytes"
	"flag"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"
)

var update = flag.Bool("update", false, "rewrite testdata/report.html")

// drawing is a small picture of its own for each n.
func drawing(t *testing.T, n int) []byte {
	t.Helper()
	m := image.NewNRGBA(image.Rect(0, 0, 24, 24))
	for y := range 24 {
		for x := range 24 {
			dx, dy := x-12, y-12
			if dx*dx+dy*dy < 9*9 {
				m.Set(x, y, color.NRGBA{uint8(60 * n), uint8(220 - 40*n), 120, 255})
			} else {
				m.Set(x, y, color.NRGBA{245, 245, 245, 255})
			}
		}
	}
	var b bytes.Buffer
	// Stored, so that the page does not change with the compressor.
	require.NoError(t, (&png.Encoder{CompressionLevel: png.NoCompression}).Encode(&b, m))
	return b.Bytes()
}

func curve(name string, start, end, ripple float64) Series {
	s := Series{Name: name}
	for i := range 120 {
		x := float64(i) * 10
		s.X = append(s.X, x)
		s.Y = append(s.Y, end+(start-end)*math.Exp(-x/260)+ripple*math.Sin(x/23))
	}
	return s
}

const hostile = `"><script>alert(1)</script><img src=x onerror=alert(2)> </title></svg></style>`

// full has one of everything, and hostile text wherever text goes.
func full(t *testing.T) *Report {
	raw := "raw web captions"
	return &Report{
		Title:    "Caption bootstrapping on emoji collages",
		Subtitle: "CaptionBootstrap, run capfilt-2031, 12 March 2031, 2 cores",
		Verdict: &Verdict{Tone: Good, Text: "The bootstrapped captions beat the raw ones by 4.2 points of recall@1.", Why: []string{
			"ahead in 5 of 5 paired seeds, 95% interval 3.1 to 5.4", "1.6 points ahead of filtering alone " + hostile,
		}},
		Links: []Link{{"Run in Temporal", "http://127.0.0.1:8233/namespaces/default/workflows/capfilt"}, {"Run folder", "http://127.0.0.1:9001/browser/tempera/runs"}, {"not a link", "javascript:alert(3)"}},
		Facts: []Fact{{"recall@1", "41.7%"}, {"web images", "2,400"}, {"captions kept", "1,312"}, {"captions rewritten", "871"}, {"wall time", "4 min 12 s"}},
		Sections: []Section{
			{Title: "Result", Text: "Equal steps, equal seeds, the same clean test set. " + hostile, Blocks: []Block{
				Table{Caption: "Retrieval in galleries of 100, mean of five seeds", Columns: []Column{
					{Name: "Training captions"},
					{Name: "image to text", Unit: "recall@1, %", Best: Highest, Decimals: 1},
					{Name: "text to image", Unit: "recall@1, %", Best: Highest, Decimals: 1},
					{Name: "CIDEr-D", Best: Highest, Decimals: 2},
					{Name: "loss", Best: Lowest, Decimals: 3},
					{Name: "Note"},
				}, Rows: []Row{
					{raw, "", []Cell{Between(37.5, 36.2, 38.9), Between(36.1, 34.8, 37.5), Number(1.02), Number(1.204), Text("")}},
					{"filtered only", "", []Cell{Between(40.1, 38.8, 41.5), Between(39.7, 38.1, 41.2), Number(1.31), Number(1.117), Text("")}},
					{"bootstrapped", "captioned and filtered", []Cell{Between(41.7, 40.3, 43.2), Between(41.2, 39.8, 42.7), Number(1.48), Number(1.082), Text(hostile)}},
					{"diverged", "", []Cell{Number(math.NaN()), Number(-0.01), Number(0), Number(math.Inf(1)), Text("no figures")}},
				}},
				Arms{Title: "recall@1, image to text", X: "%", Decimals: 1, Baseline: &raw, Arms: []Arm{
					{raw, 37.5, 36.2, 38.9, []float64{36.9, 37.2, 37.2, 38.0, 38.2}},
					{"replicated raw", 37.9, 36.4, 39.1, []float64{37.0, 37.4, 38.1, 38.3, 38.7}},
					{"filtered only", 40.1, 38.8, 41.5, []float64{39.2, 39.9, 40.1, 40.5, 40.8}},
					{"bootstrapped", 41.7, 40.3, 43.2, []float64{40.9, 41.2, 41.8, 42.1, 42.5}},
					{"oracle captions", 46.3, 45.0, 47.5, []float64{45.4, 46.0, 46.5, 46.6, 47.0}},
				}},
				Arms{Title: "Factual accuracy of the captioner", X: "share of captions without a fault", Decimals: 2, FromZero: true, Arms: []Arm{
					{Name: "shape", Mean: 0.93}, {Name: "colour", Mean: 0.88}, {Name: "position", Mean: 0.61}, {Name: "count", Mean: 0.74},
				}},
			}},
			{Title: "Training", Blocks: []Block{
				Lines{Title: "Loss", X: "step", Y: "nats per token", Series: []Series{curve("pre-training", 5.1, 1.6, 0.05), curve("captioner", 2.4, 0.9, 0.03), curve(hostile, 3.2, 1.2, 0.04)}},
				Lines{Title: "Learning rate", X: "step", Y: "rate (log)", LogY: true, Series: []Series{{Name: "rate", X: []float64{0, 100, 400, 800, 1200}, Y: []float64{0, 1e-3, 7e-4, 1e-4, 1e-6}}}},
				Lines{Title: "With a gap", X: "images", Y: "loss", Series: []Series{{Name: "gap", X: []float64{0, 10000, 20000, 30000, 40000}, Y: []float64{2, 1.5, math.NaN(), 1.2, math.Inf(1)}}}},
				Lines{Title: "Nothing yet", Series: []Series{{Name: "none"}}},
			}},
			{Title: "Captions", Blocks: []Block{
				Grid{Title: "What became of the web captions", Items: []GridItem{
					{drawing(t, 0), []Caption{{"web", "buy cheap phone cases free shipping", true}, {"synthetic", "a green circle on a light ground", false}}, []Score{{"itm", 0.03}, {"itm, new", 0.97}}, "rewritten", Good},
					{drawing(t, 1), []Caption{{"web", "a circle", false}}, []Score{{"itm", 0.91}, {"itc", 0.62}}, "kept", Neutral},
					{drawing(t, 2), []Caption{{"web", hostile, true}}, []Score{{"itm", 0.01}}, "rejected", Bad},
					{drawing(t, 3), []Caption{{"web", "ein sehr langes Wort: Donaudampfschifffahrtsgesellschaftskapitänsmütze 🚢", false}}, []Score{{"itm", 0.55}}, "kept", Neutral},
					{nil, []Caption{{"web", "the image could not be decoded", true}}, nil, "left out", Warn},
				}},
			}},
			{Title: "Lineage and timings", Blocks: []Block{
				Lineage{Title: "Stages", Nodes: lineageNodes()},
				Timeline{Title: "Timings", Spans: []Span{
					{"ingest", 0, 6.2, "", ""},
					{"noise", 6.2, 7.1, "", ""},
					{"pretrain", 7.1, 96, "", Good},
					{"captioner", 96, 131, "2 attempts", Warn},
					{"filter", 96, 128, "", Good},
					{"caption", 131, 160, "16 shards", ""},
					{"merge", 162, 162.4, "", ""},
					{"evaluate raw", 160, 160, "cached", Neutral},
					{hostile, 163, 250, "failed", Bad},
				}},
			}},
			{Title: "Configuration", Blocks: []Block{Config{"Pipeline", "stages:\n  - id: pretrain\n    kind: pretrain\n    note: " + hostile + "\n"}}},
			{Title: "Quarantine", Blocks: []Block{
				Quarantine{Items: []QuarantinedItem{{"000012.tar/" + hostile, "image is 90,000 x 90,000 pixels"}, {"000013.tar/x", "not a PNG"}}, Total: 14}, Quarantine{},
			}},
		},
	}
}

func lineageNodes() []Node {
	return []Node{
		{"clean", "", "1,200 pairs", Neutral, nil},
		{"web", "", "2,400 pairs", Neutral, nil},
		{"test", "", "600 pairs", Neutral, nil},
		{"noise", "", "", Neutral, []string{"web"}},
		{"pretrain", "", "1 min 29 s", Good, []string{"noise"}},
		{"captioner", "", "35 s, 2 attempts", Warn, []string{"pretrain", "clean"}},
		{"filter", "", "32 s", Good, []string{"pretrain", "clean"}},
		{"caption", "", "16 shards", Good, []string{"captioner", "noise"}},
		{"filter-web", "", "", Good, []string{"filter", "noise"}},
		{"filter-synthetic", "", "", Good, []string{"filter", "caption"}},
		{"merge", "", "0.4 s", Good, []string{"filter-web", "filter-synthetic"}},
		{"train-raw", "", "cached", Neutral, []string{"noise"}},
		{"train-bootstrapped", "", "", Good, []string{"merge"}},
		{"evaluate-raw", "", "", Good, []string{"train-raw", "test"}},
		{"evaluate-bootstrapped with a long name", "", "", Good, []string{"train-bootstrapped", "test"}},
		{"compare", "", "", Good, []string{"evaluate-raw", "evaluate-bootstrapped with a long name"}},
		{hostile, "", "failed", Bad, []string{"compare", "pretrain"}},
	}
}

func render(t *testing.T, r *Report) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, Render(&b, r))
	return b.String()
}

func TestGolden(t *testing.T) {
	got := render(t, full(t))
	golden := filepath.Join("testdata", "report.html")
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), got, "run go test -update and look at the page")
	for range 5 {
		require.Equal(t, got, render(t, full(t)), "equal reports are equal bytes")
	}
}

// elements parses a page and returns how often each tag occurs, after checking
// that nothing in it runs, loads or leads elsewhere.
func elements(t *testing.T, page string) map[string]int {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	require.NoError(t, err)
	count := make(map[string]int)
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		count[n.Data]++
		for _, a := range n.Attr {
			require.False(t, strings.HasPrefix(a.Key, "on"), "%s has %s", n.Data, a.Key)
			switch a.Key {
			case "src":
				require.True(t, strings.HasPrefix(a.Val, "data:image/png;base64,"), a.Val)
			case "href":
				require.True(t, strings.HasPrefix(a.Val, "#") || strings.HasPrefix(a.Val, "http://127.0.0.1"), a.Val)
			}
			require.NotContains(t, a.Val, "NaN")
			require.NotContains(t, a.Val, "Inf")
		}
	}
	return count
}

func TestPageIsSelfContainedAndHostileTextStaysText(t *testing.T) {
	page := render(t, full(t))
	count := elements(t, page)
	require.Zero(t, count["script"]+count["iframe"]+count["link"]+count["object"])
	require.Equal(t, 4, count["img"])
	require.Equal(t, 1, count["style"])
	require.Equal(t, 1, count["h1"])
	require.Equal(t, 6, count["section"])
	require.GreaterOrEqual(t, count["svg"], 7)
	require.Contains(t, page, `href="#ZgotmplZ"`, "the script address is not a link")
	root, err := html.Parse(strings.NewReader(page))
	require.NoError(t, err)
	seen := 0
	for n := range root.Descendants() {
		if n.Type == html.TextNode && strings.Contains(n.Data, "<script>alert(1)</script>") {
			seen++
		}
	}
	require.GreaterOrEqual(t, seen, 9, "hostile text is shown as it is")
}

func TestBestValuesAreMarked(t *testing.T) {
	page := render(t, &Report{Title: "t", Sections: []Section{{Title: "s", Blocks: []Block{Table{
		Columns: []Column{{Name: "n"}, {Name: "high", Best: Highest}, {Name: "low", Best: Lowest, Decimals: 1}, {Name: "plain"}, {Name: "equal", Best: Highest}},
		Rows: []Row{
			{"a", "", []Cell{Number(1), Number(0.31), Number(9), Number(5)}},
			{"b", "", []Cell{Number(3), Number(0.54), Number(8), Number(5)}},
			{"c", "", []Cell{Number(2.7), Number(math.NaN()), Number(7), Number(5)}},
		},
	}}}}})
	require.Contains(t, page, `<td class="number">1</td><td class="number best">0.3</td>`)
	require.Equal(t, 2, strings.Count(page, `<td class="number best">3</td>`), "2.7 prints as 3 too")
	require.Equal(t, 3, strings.Count(page, `number best`), "equal columns have no best")
}

func TestFaultsNameTheBlock(t *testing.T) {
	for _, c := range []struct {
		name  string
		block Block
		says  string
	}{
		{"a row with a cell too few", Table{Caption: "T", Columns: []Column{{}, {}}, Rows: []Row{{Name: "r"}}}, `row "r" has 0 cells for 2 columns`},
		{"a curve of unequal lengths", Lines{Title: "L", Series: []Series{{Name: "s", X: []float64{1}}}}, `curve "s" has 1 x and 0 y`},
		{"too many curves", Lines{Title: "L", Series: make([]Series, 9)}, "at most 8"},
		{"an arm that is no number", Arms{Title: "A", Arms: []Arm{{Name: "x", Mean: math.NaN()}}}, `arm "x"`},
		{"an image that is none", Grid{Title: "G", Items: []GridItem{{Image: []byte("<svg onload=alert(1)>")}}}, "want PNG, JPEG, WebP or GIF"},
		{"a loop", Lineage{Title: "D", Nodes: []Node{{ID: "a", Needs: []string{"b"}}, {ID: "b", Needs: []string{"a"}}}}, "there is a loop"},
		{"an unknown stage", Lineage{Title: "D", Nodes: []Node{{ID: "a", Needs: []string{"b"}}}}, `needs "b"`},
		{"an ID that is used twice", Lineage{Title: "D", Nodes: []Node{{ID: "a"}, {ID: "a"}}}, "not unique"},
		{"a span that ends before it starts", Timeline{Title: "W", Spans: []Span{{"s", 2, 1, "", ""}}}, `"s" runs from 2 to 1 s`},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := Render(io.Discard, &Report{Title: "t", Sections: []Section{{Blocks: []Block{c.block}}}})
			require.ErrorContains(t, err, c.says)
		})
	}
}

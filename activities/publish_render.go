package activities

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"tempera/training/hf"
	"tempera/training/model"
)

// tasks are what Hugging Face calls the use of each kind of model.
var tasks = map[model.Kind]string{
	model.BLIP: "image-to-text", model.CLIP: "zero-shot-image-classification",
}

// render writes the card as Hugging Face reads it: YAML front matter, see
// https://huggingface.co/docs/hub/model-cards, then Markdown.
func (c *versionCard) render() string {
	var b strings.Builder
	b.WriteString("---\n")
	c.frontMatter(&b)
	fmt.Fprintf(&b, "---\n\n# %s\n\n", c.version.Name)
	c.figures(&b)
	c.comparisons(&b)
	if body := withoutHead(c.own); body != "" {
		fmt.Fprintf(&b, "## Training\n\n%s\n\n", body)
	}
	c.sources(&b)
	c.layout(&b)
	b.WriteString(publication(c.version))
	return b.String()
}

func (c *versionCard) frontMatter(b *strings.Builder) {
	if c.version.License != "" {
		fmt.Fprintf(b, "license: %s\n", strconv.Quote(c.version.License))
	}
	library, task := "transformers", tasks[c.kind]
	if c.ownLayout != nil {
		library = "tempera"
	} else {
		task = hf.Task(c.config)
	}
	fmt.Fprintf(b, "library_name: %s\n", library)
	if task != "" {
		fmt.Fprintf(b, "pipeline_tag: %s\n", task)
	}
	b.WriteString("tags:\n")
	if c.kind != model.LM {
		b.WriteString("  - vision-language\n")
	}
	if c.kind != "" {
		fmt.Fprintf(b, "  - %s\n", c.kind)
	}
	if len(c.data) > 0 {
		b.WriteString("datasets:\n")
		for _, d := range c.data {
			fmt.Fprintf(b, "  - %s\n", strconv.Quote(cmp.Or(d.Card.Title, d.Name)))
		}
	}
	if c.evaluation == nil {
		return
	}
	b.WriteString("metrics:\n")
	for _, name := range sortedKeys(c.evaluation.Metrics) {
		fmt.Fprintf(b, "  - %s\n", name)
	}
	fmt.Fprintf(b, "model-index:\n  - name: %s\n    results:\n", strconv.Quote(c.version.Name))
	fmt.Fprintf(b, "      - task:\n          type: image-text-retrieval\n        dataset:\n          name: %s\n          type: tempera\n          revision: %s\n        metrics:\n",
		strconv.Quote(fmt.Sprintf("%d held-out pairs, galleries of %d", c.evaluation.Pairs, c.evaluation.Gallery)), strconv.Quote(string(c.evaluation.Data)))
	for _, name := range sortedKeys(c.evaluation.Metrics) {
		v := c.evaluation.Metrics[name]
		fmt.Fprintf(b, "          - type: %s\n            value: %s\n            name: %s\n", name, decimal(v.Mean),
			strconv.Quote(fmt.Sprintf("%s (95 %% interval %s to %s)", titleOf(name), decimal(v.Low), decimal(v.High))))
	}
}

// layout says what reads the files.
func (c *versionCard) layout(b *strings.Builder) {
	b.WriteString("## Files\n\n")
	if c.ownLayout == nil {
		b.WriteString("The folder is in the layout of Hugging Face's transformers: `from_pretrained` reads it.\n\n")
		return
	}
	fmt.Fprintf(b, "Tempera reads the weights; transformers does not: %s.\n\n", strings.ReplaceAll(c.ownLayout.Error(), "\n", "; "))
}

func decimal(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) }

// titleOf is what people call a metric.
func titleOf(metric string) string {
	for _, c := range metricColumns {
		if rest, ok := strings.CutPrefix(metric+"_", c.metric+"_"); ok {
			return strings.TrimSpace(c.name + " " + strings.ReplaceAll(rest, "_", " "))
		}
	}
	return strings.ReplaceAll(metric, "_", " ")
}

func (c *versionCard) figures(b *strings.Builder) {
	e := c.evaluation
	if e == nil {
		return
	}
	fmt.Fprintf(b, "## Evaluation\n\nOn %d pairs that it was not trained on, retrieval in galleries of %d; 95 %% bootstrap intervals over pairs.\n\n", e.Pairs, e.Gallery)
	b.WriteString("| metric | value | interval |\n| --- | --- | --- |\n")
	for _, name := range sortedKeys(e.Metrics) {
		v := e.Metrics[name]
		fmt.Fprintf(b, "| %s | %s | %s to %s |\n", titleOf(name), decimal(v.Mean), decimal(v.Low), decimal(v.High))
	}
	fmt.Fprintf(b, "\nPairs: `dataset@%s`\n\n", e.Data)
}

func (c *versionCard) comparisons(b *strings.Builder) {
	if len(c.gaps) == 0 {
		return
	}
	b.WriteString("## Comparison\n\nThe run that published it compared these arms, each a model of its own, over paired seeds.\n\n| arm | against | steps | metric | gap | interval | ahead in | verdict |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, g := range c.gaps {
		r := g.Result
		interval := fmt.Sprintf("%s to %s", decimal(r.Gap.Low), decimal(r.Gap.High))
		if len(r.Gaps) == 1 {
			interval = "one seed only"
		}
		fmt.Fprintf(b, "| %s | %s | %d | %s | %+.2f | %s | %d of %d | %s |\n",
			g.Method, g.Baseline, g.Steps, titleOf(g.Metric), r.Gap.Mean, interval, r.Positive, len(r.Gaps), r.Verdict)
	}
	b.WriteString("\n")
}

// sources tells the data, whose licences and credits pass on to the model, and
// the stages that the model came through.
func (c *versionCard) sources(b *strings.Builder) {
	if len(c.data) > 0 {
		b.WriteString("## Data\n\n| data set | pairs | licences | credits |\n| --- | --- | --- | --- |\n")
		for _, d := range c.data {
			fmt.Fprintf(b, "| %s | %d | %s | %s |\n", cmp.Or(d.Card.Title, d.Name), d.Stats.Records, strings.Join(d.Card.License, ", "), strings.Join(d.Card.Credits, "; "))
		}
		b.WriteString("\n")
	}
	if len(c.lineage) == 0 {
		return
	}
	b.WriteString("## Lineage\n\nThe newest first.\n\n| stage | run | kind | key |\n| --- | --- | --- | --- |\n")
	for _, o := range c.lineage {
		fmt.Fprintf(b, "| %s | %s | %s | `%s` |\n", o.Stage, o.Run, o.commit.Kind, o.Key)
	}
	b.WriteString("\n")
}

// withoutHead cuts front matter and title off a card.
func withoutHead(card string) string {
	if rest, ok := strings.CutPrefix(card, "---\n"); ok {
		if _, body, ok := strings.Cut(rest, "\n---\n"); ok {
			card = body
		}
	}
	card = strings.TrimSpace(card)
	if strings.HasPrefix(card, "# ") {
		_, card, _ = strings.Cut(card, "\n")
	}
	return strings.TrimSpace(card)
}

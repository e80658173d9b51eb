package generate

// Request asks for one text or several of one prompt.
type Request struct {
	// Prompt is what the texts begin with, BOS included; empty means BOS alone.
	Prompt []Part
	// Image are the states of the image that a captioner attends to, (P, C) as model.VisionStates gives them; nil for other models.
	Image []float32
	// Samples is the number of texts; 0 means 1. They share the prompt's pages. Sample 0 draws with Seed, the others with seeds made from it. Of a
	// search with beams they are the best ones.
	Samples int
	// Seed makes the draws. The same request gives the same texts and log-probabilities, to the bit, whatever else runs.
	Seed   uint64
	Search Search

	// MaxTokens bounds the generated tokens of a text, the ending one included; 0 means what is left of the context.
	MaxTokens int
	// MinTokens is the number of tokens before which nothing ends a text but MaxTokens.
	MinTokens int
	// Suppress are tokens that are never generated: padding, BOS and the like.
	Suppress []int32
	// StopTokens end a text as EOS does.
	StopTokens []int32
	// Stop are strings that end a text where they appear in the decoded text, across the borders of tokens; the text and its tokens are cut
	// before the string. It needs Options.Decode.
	Stop []string
	// KeepStop cuts after the stop string instead: its tokens were sampled like any others, which is what reinforcement learning needs.
	KeepStop bool

	// Top is the number of likeliest tokens to report at every step.
	Top int
	// PromptLogProbs asks for the log-probability of every token of the prompt.
	PromptLogProbs bool
	// OnToken is called for every token of a text that is not searched with beams, in order within a text, on the goroutine that runs the step,
	// which may be another call's. It must return soon, and must not call the generator.
	OnToken func(Event)
}

// Part is a piece of a prompt: either tokens, or rows of the model's width in place of tokens, such as the projected patches of an image.
type Part struct {
	Tokens     []int32
	Embeddings []float32 // (n, C)
}

// Tokens is a prompt of tokens alone.
func Tokens(ids ...int32) []Part { return []Part{{Tokens: ids}} }

// Search is how tokens are chosen. The zero value is greedy: the likeliest token at each step.
type Search struct {
	// Beams above 1 keep that many texts and return the ones with the largest sum log p / length^LengthPenalty, where the length counts the
	// generated tokens, the ending one included.
	Beams         int
	LengthPenalty float64

	// Temperature above 0 samples from softmax(logits / Temperature), cut to the TopK likeliest tokens (0: all), then to the smallest set whose
	// probability is at least TopP (0: all; Holtzman et al. 2020), then to those at least MinP times as likely as the likeliest (0: all; Nguyen et
	// al. 2024).
	Temperature float64
	TopK        int
	TopP, MinP  float64

	// RepetitionPenalty r divides the positive logits of tokens that the prompt or the text has, and multiplies the negative ones (Keskar et al.
	// 2019, as in Hugging Face's generate); 0 and 1 change nothing.
	RepetitionPenalty float64
	// PresencePenalty is subtracted from the logits of tokens that the text has, FrequencyPenalty as many times as it has them. The prompt does not
	// count.
	PresencePenalty, FrequencyPenalty float64
}

// samples tells whether tokens are drawn.
func (s Search) samples() bool { return s.Temperature > 0 }

// penalises tells whether what was written changes what is chosen.
func (s Search) penalises() bool {
	return s.RepetitionPenalty != 0 && s.RepetitionPenalty != 1 || s.PresencePenalty != 0 || s.FrequencyPenalty != 0
}

// Result is what a request gave.
type Result struct {
	Texts []Text // by sample; of a search with beams, the best first
	// PromptLogProbs are those of the prompt's tokens, each given what is before it, where they were asked for; 0 for the first, and for embeddings.
	PromptLogProbs []float32
}

// Text is a generated text.
type Text struct {
	Tokens []int32 // without the prompt and the token that ended the text
	Text   string  // decoded, where Options.Decode is given
	End    End
	// EndToken is the token that ended the text, EOS or a stop token, where LogProbs has one number more than there are tokens.
	EndToken int32
	// LogProbs are of each token, then of the token that ended the text if one did: under the model, before penalties, temperature, cuts and
	// suppression.
	LogProbs []float32
	// SampledLogProbs are under the distribution that the tokens were drawn from, after all of that; nil unless they were drawn.
	SampledLogProbs []float32
	LogProb         float64       // the sum of LogProbs
	Top             [][]Candidate // the likeliest tokens under the model at each of LogProbs, the likeliest first; nil unless asked for
}

// End is why a text ended.
type End string

// The ends.
const (
	EndEOS    End = "eos"    // the model's end of text
	EndStop   End = "stop"   // a stop token or a stop string
	EndLength End = "length" // MaxTokens, or the context
)

// Candidate is a token and its log-probability under the model.
type Candidate struct {
	Token   int32
	LogProb float32
}

// Event is a token as it is generated.
type Event struct {
	Sample  int
	Token   int32
	LogProb float32
	// Text is what became certain of the decoded text: what may be part of a character or of a stop string waits. Empty without Options.Decode.
	Text string
	End  End // empty until the last token
}

package activities

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// endpointParams say which language model judges, behind an API as OpenAI's.
type endpointParams struct {
	URL         string  `json:"url" doc:"Base of an OpenAI-compatible API, such as https://host/v1."`
	Model       string  `json:"model" doc:"Name of the judging model there."`
	Key         string  `json:"key" doc:"Variable of the worker's environment that holds the API key; empty sends none."`
	Prompt      string  `json:"prompt" doc:"What the judge is asked; {prompt}, {first} and {second} stand for the texts. It must ask for A, B or C (a tie) as the first letter of the reply."`
	Seconds     float64 `json:"seconds" doc:"Most that a reply may take." above:"0" max:"3600"`
	Tries       int     `json:"tries" doc:"Times that a question is asked that gets no reply." min:"1" max:"20"`
	Parallel    int     `json:"parallel" doc:"Questions that are asked at a time." min:"1" max:"256"`
	Temperature float64 `json:"temperature" doc:"Of the judge." min:"0" max:"2"`
}

const judgePrompt = "Two answers to the same prompt follow. Which one is better: more correct, more helpful, better written? Length by itself is no merit. " +
	"Reply with one letter: A if the first is better, B if the second is, C if neither is.\n\n[Prompt]\n{prompt}\n\n[Answer A]\n{first}\n\n[Answer B]\n{second}"

func defaultEndpoint() endpointParams {
	return endpointParams{Key: "OPENAI_API_KEY", Prompt: judgePrompt, Seconds: 60, Tries: 5, Parallel: 8}
}

func (p endpointParams) faults() []error {
	var faults []error
	if u, err := url.Parse(p.URL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		faults = append(faults, fmt.Errorf("endpoint.url is %q: give the base of an OpenAI-compatible API, such as https://host/v1", p.URL))
	}
	if p.Model == "" {
		faults = append(faults, errors.New("endpoint.model is empty: name the judging model"))
	}
	if p.Key != "" && !strings.HasSuffix(p.Key, "_API_KEY") { // no other secret of the worker may go to an address of the parameters
		faults = append(faults, fmt.Errorf("endpoint.key is %q: name a variable that ends in _API_KEY", p.Key))
	}
	for _, part := range []string{"{first}", "{second}"} {
		if !strings.Contains(p.Prompt, part) {
			faults = append(faults, fmt.Errorf("endpoint.prompt has no %s: it stands for an answer", part))
		}
	}
	return faults
}

// endpoint asks a language model behind an API.
type endpoint struct {
	endpointParams
	task   *Task
	client *http.Client
	pause  time.Duration // before the second try; it doubles
}

func newEndpoint(t *Task, p endpointParams) *endpoint {
	return &endpoint{p, t, &http.Client{Timeout: time.Duration(p.Seconds * float64(time.Second))}, time.Second}
}

// compare asks about every match twice, in both orders, because judges favour a place (Zheng et al. 2023): a win needs both replies.
func (e *endpoint) compare(ctx context.Context, matches []match) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(e.Parallel)
	for i := range matches {
		g.Go(func() error {
			m := &matches[i]
			ahead, err := e.ask(ctx, m.row.Prompt.String(), m.model.text, m.baseline.text)
			if err != nil {
				return err
			}
			behind, err := e.ask(ctx, m.row.Prompt.String(), m.baseline.text, m.model.text)
			if err != nil {
				return err
			}
			m.why = ahead + behind
			switch m.why {
			case "AB":
				m.result = 1
			case "BA":
				m.result = 0
			default:
				m.result = 0.5
			}
			return nil
		})
	}
	return g.Wait()
}

// errJudge is an endpoint that is away: the stage waits for it.
var errJudge = errors.New("the judge does not answer")

// refused is a reply that no second try mends.
type refused struct{ error }

// ask returns the judge's letter, A, B or C. What does not begin with a letter is a C.
func (e *endpoint) ask(ctx context.Context, prompt, first, second string) (string, error) {
	text := strings.NewReplacer("{prompt}", prompt, "{first}", first, "{second}", second).Replace(e.Prompt)
	var last error
	wait := e.pause
	for try := range e.Tries {
		if try > 0 {
			select {
			case <-time.After(wait):
			case <-e.task.Stopping:
				return "", ErrStopped
			case <-ctx.Done():
				return "", ctx.Err()
			}
			wait = min(2*wait, time.Minute)
		}
		reply, err := e.post(ctx, text)
		var no refused
		switch {
		case err == nil:
			return letterOf(reply), nil
		case ctx.Err() != nil:
			return "", ctx.Err()
		case errors.As(err, &no):
			return "", Invalid(fmt.Errorf("judge %s: %w", e.URL, no.error))
		}
		last = err
		e.task.Log.Warn("the judge does not answer", "try", try+1, "of", e.Tries, "error", err)
	}
	return "", fmt.Errorf("%w: %s, %d tries: %w", errJudge, e.URL, e.Tries, last)
}

// letterOf is the letter that a reply begins with.
func letterOf(reply string) string {
	reply = strings.ToUpper(strings.TrimLeft(strings.TrimSpace(reply), "*[(\"'"))
	if reply == "" || !strings.Contains("ABC", reply[:1]) || len(reply) > 1 && reply[1] >= 'A' && reply[1] <= 'Z' {
		return "C"
	}
	return reply[:1]
}

// maxReply bounds what is read of a reply.
const maxReply = 1 << 20

func (e *endpoint) post(ctx context.Context, text string) (string, error) {
	body, err := json.Marshal(map[string]any{
		"model": e.Model, "temperature": e.Temperature, "max_tokens": 16, "messages": []map[string]string{{"role": "user", "content": text}},
	})
	if err != nil {
		return "", err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(e.URL, "/")+"/chat/completions", bytes.NewReader(body))
	if err != nil {
		return "", refused{err}
	}
	r.Header.Set("Content-Type", "application/json")
	if key := os.Getenv(e.Key); e.Key != "" && key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	got, err := e.client.Do(r)
	if err != nil {
		return "", err
	}
	defer got.Body.Close()
	data, err := io.ReadAll(io.LimitReader(got.Body, maxReply))
	if err != nil {
		return "", err
	}
	switch {
	case got.StatusCode == http.StatusTooManyRequests, got.StatusCode == http.StatusRequestTimeout, got.StatusCode >= 500:
		return "", fmt.Errorf("%s: %s", got.Status, brief(data))
	case got.StatusCode == http.StatusUnauthorized, got.StatusCode == http.StatusForbidden:
		return "", refused{fmt.Errorf("%s: set the variable %s of the worker's environment to a valid key", got.Status, e.Key)}
	case got.StatusCode != http.StatusOK:
		return "", refused{fmt.Errorf("%s: %s", got.Status, brief(data))}
	}
	var reply struct {
		Choices []struct {
			Message struct {
				Content string `json:"content"`
			} `json:"message"`
		} `json:"choices"`
	}
	if err := json.Unmarshal(data, &reply); err != nil || len(reply.Choices) == 0 {
		return "", fmt.Errorf("the reply is no completion: %s", brief(data))
	}
	return reply.Choices[0].Message.Content, nil
}

func brief(data []byte) string {
	const most = 200
	s := strings.Join(strings.Fields(string(data)), " ")
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}

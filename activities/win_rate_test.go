package activities

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tempera/datagen/example"
	"tempera/workflows/stage"
)

func TestTheTrainedModelWins(t *testing.T) {
	s := newSchool(t)
	in := ports{"model": {s.trained}, "baseline": {s.untrained}, "data": {s.problems}}
	out := s.output(execution{kind: winRate(), params: `{"max_tokens": 16, "temperature": 0.5}`, inputs: in}, "evaluation")
	e := s.evaluation(out)
	require.Greater(t, e.Metrics["win_rate"].Mean, 80.0)
	require.Less(t, e.Metrics["win_rate"].High, 100.1)
	require.Contains(t, s.report(out), "won against")
	in["model"] = in["baseline"]
	e = s.evaluation(s.output(execution{kind: winRate(), params: `{"max_tokens": 16}`, inputs: in}, "evaluation"))
	require.Equal(t, 50.0, e.Metrics["win_rate"].Mean, "a model ties with itself")
}

// asked is a judge behind an API that answers by a function of the question.
func asked(t *testing.T, answer func(question string, n int) (status int, reply string)) (*httptest.Server, *atomic.Int64) {
	t.Helper()
	var n atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var q struct {
			Model    string `json:"model"`
			Messages []struct {
				Content string `json:"content"`
			} `json:"messages"`
		}
		if json.Unmarshal(body, &q) != nil || r.URL.Path != "/v1/chat/completions" || q.Model != "judge" || len(q.Messages) != 1 {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		status, reply := answer(q.Messages[0].Content, int(n.Add(1)))
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]any{"choices": []any{map[string]any{"message": map[string]string{"content": reply}}}})
	}))
	t.Cleanup(server.Close)
	return server, &n
}

func TestAnEndpointJudges(t *testing.T) {
	row := &example.Example{ID: "a", Prompt: example.Plain("Say yes.")}
	good, bad := completion{text: "yes"}, completion{text: "no"}
	prefersYes := func(q string, _ int) (int, string) {
		if strings.Contains(q, "[Answer A]\nyes") && strings.Contains(q, "[Answer B]\nno") {
			return 200, "A."
		}
		if strings.Contains(q, "[Answer A]\nno") && strings.Contains(q, "[Answer B]\nyes") {
			return 200, "**B**"
		}
		return 200, "C, neither"
	}
	for _, c := range []struct {
		name   string
		answer func(q string, n int) (int, string)
		m      match
		want   float64 // the result; -1: an error
		err    string
		asked  int64
		away   bool
	}{
		{"a win in both orders", prefersYes, match{row: row, model: good, baseline: bad}, 1, "", 2, false},
		{"a loss in both orders", prefersYes, match{row: row, model: bad, baseline: good}, 0, "", 2, false},
		{"a tie", prefersYes, match{row: row, model: good, baseline: good}, 0.5, "", 2, false},
		{"a judge who favours the first place gives a tie", func(string, int) (int, string) { return 200, "A" }, match{row: row, model: good, baseline: bad}, 0.5, "", 2, false},
		{"words in place of a letter are a tie", func(string, int) (int, string) { return 200, "Both are fine" }, match{row: row, model: good, baseline: bad}, 0.5, "", 2, false},
		{"a judge that comes back", func(q string, n int) (int, string) {
			if n < 3 {
				return 503, ""
			}
			return prefersYes(q, n)
		}, match{row: row, model: good, baseline: bad}, 1, "", 4, false},
		{"too many requests", func(q string, n int) (int, string) {
			if n == 1 {
				return 429, ""
			}
			return prefersYes(q, n)
		}, match{row: row, model: good, baseline: bad}, 1, "", 3, false},
		{"a judge that is down", func(string, int) (int, string) { return 500, "" }, match{row: row, model: good, baseline: bad}, -1, "the judge does not answer", 3, true},
		{"a judge that is slow", func(string, int) (int, string) { time.Sleep(300 * time.Millisecond); return 200, "A" }, match{row: row, model: good, baseline: bad}, -1, "Timeout", 3, true},
		{"a wrong key", func(string, int) (int, string) { return 401, "" }, match{row: row, model: good, baseline: bad}, -1, "set the variable JUDGE_API_KEY", 1, false},
		{"a wrong name", func(string, int) (int, string) { return 404, "no such model" }, match{row: row, model: good, baseline: bad}, -1, "no such model", 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			server, n := asked(t, c.answer)
			p := defaultEndpoint()
			p.URL, p.Model, p.Key, p.Tries, p.Seconds = server.URL+"/v1", "judge", "JUDGE_API_KEY", 3, 0.15
			require.Empty(t, p.faults())
			e := newEndpoint(&Task{Log: slog.New(slog.DiscardHandler)}, p)
			e.pause = time.Millisecond
			matches := []match{c.m}
			err := e.compare(t.Context(), matches)
			require.Equal(t, c.asked, n.Load())
			if c.want >= 0 {
				require.NoError(t, err)
				require.Equal(t, c.want, matches[0].result)
				return
			}
			require.ErrorContains(t, err, c.err)
			class := stage.InvalidInput
			if c.away {
				class = stage.JudgeUnavailable
			}
			require.ErrorContains(t, failure(err), class)
		})
	}
	_, err := winRate().Check([]byte(`{"judge": "endpoint", "endpoint": {"url": "host", "key": "AWS_SECRET", "prompt": "?"}}`))
	for _, want := range []string{"endpoint.url", "endpoint.model", "ends in _API_KEY", "{second}"} {
		require.ErrorContains(t, err, want)
	}
}

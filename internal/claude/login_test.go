package claude

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// As 2.1.330 writes them.
const (
	someCredentials = `{"claudeAiOauth":{"accessToken":"sk-ant-oat01-A","refreshToken":"sk-ant-ort01-R","expiresAt":1700028800000,` +
		`"refreshTokenExpiresAt":1702592000000,"scopes":["user:inference","user:profile"],"subscriptionType":"max","rateLimitTier":"default_claude_max_5x"},` +
		`"mcpOAuth":{"x":{"accessToken":"another's"}}}`
	someState = `{"numStartups":3,"oauthAccount":{"accountUuid":"u-1","emailAddress":"a@example.org","ccOnboardingFlags":{}},"projects":{"/w":{}}}`
)

var (
	now       = time.UnixMilli(1700000000000)
	someLogin = Login{
		Tokens: &Tokens{
			AccessToken: "sk-ant-oat01-A", RefreshToken: "sk-ant-ort01-R", ExpiresAt: 1700028800000, RefreshTokenExpiresAt: 1702592000000,
			Scopes: []string{"user:inference", "user:profile"}, SubscriptionType: "max", RateLimitTier: "default_claude_max_5x",
		},
		Account: &Account{AccountUUID: "u-1", Email: "a@example.org"},
	}
)

func TestReadLogin(t *testing.T) {
	t.Parallel()
	anonymous := someLogin
	anonymous.Account = nil
	for name, test := range map[string]struct {
		credentials, state string
		want               Login
	}{
		"tokens and account":        {someCredentials, someState, someLogin},
		"tokens alone":              {someCredentials, "", anonymous},
		"an unreadable account":     {someCredentials, `{"oauthAccount":7}`, anonymous},
		"nothing":                   {"", "", Login{}},
		"an account after a logout": {"", someState, Login{}},
		"tokens of others only":     {`{"mcpOAuth":{}}`, "", Login{}},
		"a key of the Console":      {"", `{"primaryApiKey":"sk-ant-api03-k"}`, Login{APIKey: "sk-ant-api03-k"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := ReadLogin([]byte(test.credentials), []byte(test.state), now)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			if got.Empty() != cmp.Equal(test.want, Login{}) {
				t.Errorf("Empty: %v", got.Empty())
			}
		})
	}
}

func TestWhatIsNoLoginIsRefused(t *testing.T) {
	t.Parallel()
	for name, credentials := range map[string]string{
		"no JSON":                    `{`,
		"something behind it":        someCredentials + `{}`,
		"a list":                     `[]`,
		"a number for a token":       `{"claudeAiOauth":{"accessToken":7}}`,
		"a token of two lines":       `{"claudeAiOauth":{"accessToken":"a\nb"}}`,
		"a token with a space":       `{"claudeAiOauth":{"refreshToken":"a b"}}`,
		"a token without end":        `{"claudeAiOauth":{"accessToken":"` + strings.Repeat("x", maxSecret+1) + `"}}`,
		"it never expires":           `{"claudeAiOauth":{"accessToken":"a","expiresAt":9999999999999}}`,
		"it expired before 1970":     `{"claudeAiOauth":{"accessToken":"a","expiresAt":-1}}`,
		"escape codes":               `{"claudeAiOauth":{"accessToken":"a","subscriptionType":"\u001b[2J"}}`,
		"a very long word":           `{"claudeAiOauth":{"accessToken":"a","scopes":["` + strings.Repeat("x", maxWord+1) + `"]}}`,
		"more scopes than there are": `{"claudeAiOauth":{"accessToken":"a","scopes":[` + strings.Repeat(`"x",`, 100) + `"x"]}}`,
	} {
		if got, err := ReadLogin([]byte(credentials), nil, now); err == nil {
			t.Errorf("%s gave %+v", name, got)
		}
	}
	if _, err := ReadLogin(nil, []byte(`{`), now); err == nil {
		t.Error("an unreadable ~/.claude.json and no tokens gave no error")
	}
}

// Whatever somebody sends, what is taken of it comes back out of the files that are made from it.
func TestALoginSurvivesItsFiles(t *testing.T) {
	t.Parallel()
	secret, word := rapid.StringMatching(`[!-~]{0,20}`), rapid.StringMatching(`\PC{0,20}`)
	rapid.Check(t, func(t *rapid.T) {
		one := Login{Tokens: &Tokens{
			AccessToken: secret.Draw(t, "access"), RefreshToken: secret.Draw(t, "refresh"),
			ExpiresAt: rapid.Int64Range(0, now.UnixMilli()).Draw(t, "expires"), Scopes: rapid.SliceOfN(word, 1, 3).Draw(t, "scopes"),
		}, Account: &Account{Email: word.Draw(t, "email")}, APIKey: secret.Draw(t, "key")}
		credentials, err := one.Credentials()
		if err != nil {
			t.Fatal(err)
		}
		state, err := FirstRun([]byte(someState), Answers{Login: one})
		if err != nil {
			t.Fatal(err)
		}
		got, err := ReadLogin(credentials, state, now)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(one, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestLoginsInTime(t *testing.T) {
	t.Parallel()
	at := func(t time.Duration) int64 { return now.Add(t).UnixMilli() }
	for name, test := range map[string]struct {
		tokens Tokens
		over   bool
	}{
		"good":                            {Tokens{AccessToken: "a", RefreshToken: "r", ExpiresAt: at(1)}, false},
		"to be renewed":                   {Tokens{AccessToken: "a", RefreshToken: "r", ExpiresAt: at(-time.Hour)}, false},
		"cannot be renewed":               {Tokens{AccessToken: "a", ExpiresAt: at(-time.Hour)}, true},
		"cannot be renewed any more":      {Tokens{AccessToken: "a", RefreshToken: "r", ExpiresAt: at(-time.Hour), RefreshTokenExpiresAt: at(-time.Minute)}, true},
		"good for the last time":          {Tokens{AccessToken: "a", RefreshToken: "r", ExpiresAt: at(time.Hour), RefreshTokenExpiresAt: at(-time.Minute)}, false},
		"Claude was told that it is over": {Tokens{}, true},
		"of unknown age":                  {Tokens{AccessToken: "a"}, false},
	} {
		if got := (Login{Tokens: &test.tokens}).Over(now); got != test.over {
			t.Errorf("%s: over %v", name, got)
		}
	}
	renewed := Login{Tokens: &Tokens{AccessToken: "b", RefreshToken: "sk-ant-ort01-R", ExpiresAt: someLogin.Tokens.ExpiresAt + 1}}
	if !renewed.NewerThan(someLogin, now) || someLogin.NewerThan(renewed, now) || someLogin.NewerThan(someLogin, now) || renewed.Same(someLogin) {
		t.Error("a renewed login is not newer")
	}
	eternal := Login{Tokens: &Tokens{AccessToken: "c", ExpiresAt: at(30 * 24 * time.Hour)}}
	if eternal.NewerThan(someLogin, now) || !someLogin.NewerThan(eternal, now) {
		t.Error("a login that claims to live for a month pushes others out")
	}
}

func TestSameAccount(t *testing.T) {
	t.Parallel()
	bare := Login{Tokens: &Tokens{AccessToken: "a"}}
	byToken := Login{Tokens: &Tokens{AccessToken: "b", AccountUUID: "u-1"}}
	mail := func(email string) Login { return Login{Tokens: bare.Tokens, Account: &Account{Email: email}} }
	other := Login{Tokens: bare.Tokens, Account: &Account{AccountUUID: "u-2", Email: "a@example.org"}}
	for _, test := range []struct {
		a, b Login
		same bool
	}{
		{someLogin, someLogin, true}, {someLogin, byToken, true}, {someLogin, bare, false}, {someLogin, other, false}, {bare, bare, true},
		{mail("a@example.org"), mail("a@example.org"), true}, {mail("a@example.org"), mail("b@example.org"), false}, {mail("a@example.org"), someLogin, false},
	} {
		if test.a.SameAccount(test.b) != test.same || test.b.SameAccount(test.a) != test.same {
			t.Errorf("%+v and %+v: %v", test.a, test.b, !test.same)
		}
	}
	if bare.Named() || !byToken.Named() || !someLogin.Named() {
		t.Error("wrong about who is named")
	}
}

// What a guest answers is read without harm, and what is kept of it says the same when it is read again.
func FuzzReadLogin(f *testing.F) {
	f.Add([]byte(someCredentials), []byte(someState))
	f.Add([]byte(`{"claudeAiOauth":{}}`), []byte(`{"primaryApiKey":"sk-ant-api03-k"}`))
	f.Add([]byte("{"), []byte("\x00"))
	f.Fuzz(func(t *testing.T, credentials, stateFile []byte) {
		login, err := ReadLogin(credentials, stateFile, now)
		if err != nil || login.Tokens == nil {
			return
		}
		file, err := login.Credentials()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ReadLogin(file, nil, now)
		if err != nil || !cmp.Equal(again.Tokens, login.Tokens) {
			t.Errorf("%v: %+v, and again %+v", err, login.Tokens, again.Tokens)
		}
	})
}

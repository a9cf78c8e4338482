package claude

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// CredentialsFile holds the tokens of a login, relative to the home directory; mode 0600. The access token in it lives for
// hours; Claude renews it, which may give the refresh token a new value too, and writes the file anew. A Claude that runs
// uses what another has put there with its next request.
const CredentialsFile = ".claude/.credentials.json"

// StateFile is where Claude keeps, among much else, whose login it is, relative to the home directory.
const StateFile = ".claude.json"

// Login is what Claude Code keeps of a login, as far as another home needs it. It is a secret. The fields and their names
// are those of 2.1.330.
type Login struct {
	Tokens  *Tokens  `json:"claudeAiOauth,omitempty"`
	Account *Account `json:"oauthAccount,omitempty"`
	APIKey  string   `json:"primaryApiKey,omitempty"` // what a Console login makes instead of tokens
}

// Tokens are what CredentialsFile has under claudeAiOauth. Times are in milliseconds since 1970; 0: not said.
type Tokens struct {
	AccessToken            string   `json:"accessToken"`
	RefreshToken           string   `json:"refreshToken"`
	ExpiresAt              int64    `json:"expiresAt"`
	RefreshTokenExpiresAt  int64    `json:"refreshTokenExpiresAt,omitempty"`
	Scopes                 []string `json:"scopes"`
	SubscriptionType       string   `json:"subscriptionType,omitempty"`
	SubscriptionTypeSource string   `json:"subscriptionTypeSource,omitempty"`
	RateLimitTier          string   `json:"rateLimitTier,omitempty"`
	ClientID               string   `json:"clientId,omitempty"`
	AccountUUID            string   `json:"accountUuid,omitempty"`
	OrganizationUUID       string   `json:"organizationUuid,omitempty"`
}

// Account is what StateFile has under oauthAccount: who it is.
type Account struct {
	AccountUUID      string `json:"accountUuid,omitempty"`
	Email            string `json:"emailAddress,omitempty"`
	DisplayName      string `json:"displayName,omitempty"`
	OrganizationUUID string `json:"organizationUuid,omitempty"`
	OrganizationName string `json:"organizationName,omitempty"`
	OrganizationRole string `json:"organizationRole,omitempty"`
	WorkspaceRole    string `json:"workspaceRole,omitempty"`
	BillingType      string `json:"billingType,omitempty"`
	SeatTier         string `json:"seatTier,omitempty"`
	ExtraUsage       bool   `json:"hasExtraUsageEnabled,omitempty"`
}

const (
	maxSecret = 16 << 10 // bytes of a token
	maxWord   = 500      // bytes of everything else
	// maxLife bounds when an access token says that it expires. One that claimed to live for ever could never be replaced.
	maxLife = 400 * 24 * time.Hour
	// usualLife is more than the hours that access tokens live.
	usualLife = 24 * time.Hour
)

// ReadLogin reads a login out of the contents of CredentialsFile and StateFile, either of which may be empty. It takes only
// what it knows and is as it should be: the files may come from somebody hostile. Without a login the result is Empty; when
// Claude has found out that the login is over, it is Over.
func ReadLogin(credentials, stateFile []byte, now time.Time) (Login, error) {
	var tokens, known Login
	if err := strict("Claude's credentials", credentials, &tokens); err != nil {
		return Login{}, err
	}
	if err := strict("~/.claude.json", stateFile, &known); err != nil {
		if tokens.Tokens == nil {
			return Login{}, err
		}
		known = Login{} // the tokens alone will do
	}
	known.Tokens = tokens.Tokens
	if err := known.check(now); err != nil {
		return Login{}, err
	}
	if known.Tokens == nil && known.APIKey == "" {
		return Login{}, nil // an account alone is what is left after a logout
	}
	return known, nil
}

func strict(name string, data []byte, into any) error {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	err := decoder.Decode(into)
	if err == nil && decoder.Decode(&struct{}{}) != io.EOF {
		err = errors.New("there is something after its end")
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}

func (l Login) check(now time.Time) error {
	secrets, words := map[string]string{"primaryApiKey": l.APIKey}, []string{}
	if t := l.Tokens; t != nil {
		secrets["accessToken"], secrets["refreshToken"] = t.AccessToken, t.RefreshToken
		words = append(words, t.SubscriptionType, t.SubscriptionTypeSource, t.RateLimitTier, t.ClientID, t.AccountUUID, t.OrganizationUUID)
		words = append(words, t.Scopes...)
		if latest := now.Add(maxLife).UnixMilli(); t.ExpiresAt < 0 || t.ExpiresAt > latest {
			return fmt.Errorf("the access token claims to expire at %d", t.ExpiresAt)
		}
		if len(t.Scopes) > 100 {
			return fmt.Errorf("the login has %d scopes", len(t.Scopes))
		}
	}
	for name, secret := range secrets {
		if len(secret) > maxSecret || strings.ContainsFunc(secret, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return fmt.Errorf("%s is not one", name)
		}
	}
	if a := l.Account; a != nil {
		words = append(words, a.AccountUUID, a.Email, a.DisplayName, a.OrganizationUUID, a.OrganizationName, a.OrganizationRole,
			a.WorkspaceRole, a.BillingType, a.SeatTier)
	}
	if slices.ContainsFunc(words, func(word string) bool {
		return len(word) > maxWord || !utf8.ValidString(word) || strings.ContainsFunc(word, unicode.IsControl)
	}) {
		return errors.New("the account's description is not text")
	}
	return nil
}

// Empty says that there is nothing to log in with and never was.
func (l Login) Empty() bool { return l.Tokens == nil && l.APIKey == "" }

// Over says that this login cannot be used any more: Claude was told so and has wiped its tokens, or all of them have expired.
func (l Login) Over(now time.Time) bool {
	t := l.Tokens
	switch {
	case t == nil || l.APIKey != "":
		return false
	case t.AccessToken == "" && t.RefreshToken == "":
		return true
	case t.ExpiresAt == 0 || now.UnixMilli() < t.ExpiresAt:
		return t.AccessToken == ""
	}
	return t.RefreshToken == "" || t.RefreshTokenExpiresAt != 0 && t.RefreshTokenExpiresAt < now.UnixMilli()
}

// Same says that two logins consist of the same secrets.
func (l Login) Same(other Login) bool {
	a, b := cmp.Or(l.Tokens, &Tokens{}), cmp.Or(other.Tokens, &Tokens{})
	return l.APIKey == other.APIKey && a.AccessToken == b.AccessToken && a.RefreshToken == b.RefreshToken
}

// NewerThan compares two logins by when their access tokens expire: Claude renews a token shortly before it does. One that
// claims to live for longer than such tokens do is newer than none: it would push all others out.
func (l Login) NewerThan(other Login, now time.Time) bool {
	expiry := func(l Login) int64 {
		if l.Tokens == nil || l.Tokens.ExpiresAt > now.Add(usualLife).UnixMilli() {
			return 0
		}
		return l.Tokens.ExpiresAt
	}
	return l.Tokens != nil && (other.Tokens == nil || expiry(l) > expiry(other))
}

// Named says whether a login tells whose it is.
func (l Login) Named() bool { return l.Account != nil || l.account() != "" }

func (l Login) account() string {
	return cmp.Or(cmp.Or(l.Account, &Account{}).AccountUUID, cmp.Or(l.Tokens, &Tokens{}).AccountUUID)
}

// SameAccount says whether two logins claim to be of one account.
func (l Login) SameAccount(other Login) bool {
	return l.account() == other.account() && (l.account() != "" || l.Who() == other.Who())
}

// Who returns how a person knows the account.
func (l Login) Who() string {
	if l.Account != nil && l.Account.Email != "" {
		return l.Account.Email
	}
	if l.Tokens == nil {
		return "an API key of the Console"
	}
	return "an unnamed account"
}

// Credentials returns the content for CredentialsFile, nil if the login has no place there.
func (l Login) Credentials() ([]byte, error) {
	if l.Tokens == nil {
		return nil, nil
	}
	return json.Marshal(Login{Tokens: l.Tokens})
}

// MayLogIn says whether the content of a settings file of Claude could log it in.
func MayLogIn(settings []byte) bool {
	return slices.ContainsFunc(append(LoginVariables(), "apiKeyHelper"), func(name string) bool {
		return bytes.Contains(settings, []byte(name))
	})
}

// NeedsLogin says whether a run of Claude with these arguments asks a model something. The first is not to be a subcommand.
func NeedsLogin(args []string) bool {
	return !slices.ContainsFunc(args, func(arg string) bool {
		return slices.Contains([]string{"-v", "--version", "-h", "--help"}, arg)
	})
}

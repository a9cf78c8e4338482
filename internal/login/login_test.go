package login

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/themouette/claude-vm/internal/claude"
	"github.com/themouette/claude-vm/internal/proc"
	"github.com/themouette/claude-vm/internal/state"
)

// loginOf is a login whose token expires some hours from now.
func loginOf(name string, hours int) claude.Login {
	return claude.Login{Tokens: &claude.Tokens{
		AccessToken: "access-" + name, RefreshToken: "refresh-" + name, ExpiresAt: time.Now().Add(time.Duration(hours) * time.Hour).UnixMilli(),
	}}
}

// A guest that is asked for its login and never stops talking is not listened to.
func TestGuestThatNeverStops(t *testing.T) {
	t.Parallel()
	k := Sync{Store: Store{Dir: state.Dir(t.TempDir())}}
	k.poll(t.Context(), func(ctx context.Context, _ string, out io.Writer) error {
		err := proc.Run(ctx, proc.Cmd{Argv: []string{"head", "-c", "50000000", "/dev/zero"}, Env: os.Environ(), Stdout: out})
		if heard, ok := out.(interface{ Bytes() []byte }); !ok || len(heard.Bytes()) > maxAnswer {
			t.Error("all of it was taken")
		}
		return err
	})
	if !errors.Is(k.err, proc.ErrOutput) {
		t.Errorf("got %v", k.err)
	}
}

func TestOffer(t *testing.T) {
	t.Parallel()
	person := func(l claude.Login, email string) claude.Login {
		l.Account = &claude.Account{Email: email}
		return l
	}
	known := func(l claude.Login) claude.Login {
		l.Account = &claude.Account{Email: "a@example.org", AccountUUID: "u-1"}
		return l
	}
	token := func(l claude.Login) claude.Login {
		tokens := *l.Tokens
		tokens.AccountUUID = "u-1"
		l.Tokens = &tokens
		return l
	}
	none, over := claude.Login{}, claude.Login{Tokens: &claude.Tokens{}}
	a, a2, b := loginOf("a", 1), loginOf("a2", 2), person(loginOf("b", 1), "b@example.org")
	for name, test := range map[string]struct {
		kept, given, got, want claude.Login
		deliberate             bool
		news                   News
	}{
		"the first":                          {none, none, a, a, false, First},
		"none":                               {a, a, none, a, false, None},
		"unchanged":                          {a, a, a, a, false, None},
		"renewed":                            {a, a, a2, a2, false, Renewed},
		"to one that expires earlier":        {a2, a2, a, a, false, Renewed},
		"older than what another has kept":   {a2, loginOf("x", 0), a, a2, false, None},
		"newer than what another has kept":   {a, loginOf("x", 0), a2, a2, false, Renewed},
		"older but on purpose":               {a2, none, a, a, true, Renewed},
		"another person":                     {person(a, "a@example.org"), person(a, "a@example.org"), b, b, false, OtherAccount},
		"forgotten meanwhile":                {none, a, a2, none, false, None},
		"over":                               {a, a, over, a, false, Ended},
		"over, but another has renewed it":   {a2, a, over, a2, false, None},
		"over, of a session without any":     {a, none, over, a, false, None},
		"who it is has come to be known":     {a, a, person(a, "a@example.org"), person(a, "a@example.org"), false, Renewed},
		"who it is stays known by the token": {known(a), known(a), token(a2), known(a2), false, Renewed},
		"the token is of another account":    {person(a, "a@example.org"), person(a, "a@example.org"), token(a2), token(a2), false, OtherAccount},
		"nobody says whose it is":            {known(a), known(a), a2, known(a), false, Anonymous},
		"nobody says it, on purpose":         {known(a), none, a2, a2, true, OtherAccount},
		"a stranger who lives for a month":   {known(a), loginOf("x", 0), known(loginOf("b", 700)), known(a), false, None},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := Store{Dir: state.Dir(t.TempDir())}
			if !test.kept.Empty() {
				if _, err := store.Offer(t.Context(), none, test.kept, true, time.Now()); err != nil {
					t.Fatal(err)
				}
			}
			got, err := store.Offer(t.Context(), test.given, test.got, test.deliberate, time.Now())
			if err != nil || got != test.news {
				t.Errorf("news %v, %v", got, err)
			}
			kept, err := store.Read()
			if err != nil || !kept.Login.Same(test.want) || test.want.Account != nil && kept.Login.Who() != test.want.Who() {
				t.Errorf("kept %+v, %v", kept, err)
			}
			if usable := !test.want.Empty() && test.news != Ended; kept.Usable(time.Now()) != usable {
				t.Errorf("usable: %v", !usable)
			}
		})
	}
}

// However many sessions end at once, the newest login of those that began with the same one stays.
func TestTheNewestLoginStays(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		store := Store{Dir: state.Dir(t.TempDir())}
		given := loginOf("given", 1)
		if _, err := store.Offer(t.Context(), claude.Login{}, given, true, time.Now()); err != nil {
			rt.Fatal(err)
		}
		hours := rapid.SliceOfNDistinct(rapid.IntRange(2, 20), 1, 4, rapid.ID).Draw(rt, "hours")
		newest := loginOf("", 0)
		var wg sync.WaitGroup
		for i, h := range hours {
			renewed := loginOf(string(rune('a'+i)), h)
			if renewed.NewerThan(newest, time.Now()) {
				newest = renewed
			}
			wg.Go(func() {
				if _, err := store.Offer(t.Context(), given, renewed, false, time.Now()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if kept, err := store.Read(); err != nil || !kept.Login.Same(newest) {
			rt.Errorf("kept %+v, %v", kept, err)
		}
	})
}

// fakeGuest answers as a guest with these files would.
type fakeGuest struct{ credentials, state string }

func (g *fakeGuest) ask(_ context.Context, script string, out io.Writer) (err error) {
	if !strings.Contains(script, "'"+g.credentials+"'") {
		_, err = io.WriteString(out, g.credentials+"\x00"+g.state)
	}
	return err
}

func (g *fakeGuest) send(_ context.Context, _ string, in io.Reader) error {
	input, err := io.ReadAll(in)
	g.credentials = string(input)
	return err
}

func TestASessionGetsWhatAnotherHasRenewed(t *testing.T) {
	t.Parallel()
	store := Store{Dir: state.Dir(t.TempDir())}
	first, second := loginOf("first", 1), loginOf("second", 2)
	if _, err := store.Offer(t.Context(), claude.Login{}, first, true, time.Now()); err != nil {
		t.Fatal(err)
	}
	file, err := first.Credentials()
	if err != nil {
		t.Fatal(err)
	}
	g := &fakeGuest{credentials: string(file)}
	k := &Sync{Store: store, Held: first, file: file}
	k.poll(t.Context(), g.ask)
	if k.refresh(t.Context(), g.send); g.credentials != string(file) || k.err != nil {
		t.Errorf("something has happened though nothing was new: %s, %v", g.credentials, k.err)
	}
	if _, err := store.Offer(t.Context(), first, second, false, time.Now()); err != nil {
		t.Fatal(err)
	}
	k.refresh(t.Context(), g.send)
	if !strings.Contains(g.credentials, "access-second") {
		t.Errorf("the guest still has %s", g.credentials)
	}
	k.poll(t.Context(), g.ask)
	if kept, err := store.Read(); err != nil || !kept.Login.Same(second) || k.news != None {
		t.Errorf("%+v, %v, news %v", kept, err, k.news)
	}
}

func TestASessionKeepsItsAccount(t *testing.T) {
	t.Parallel()
	store := Store{Dir: state.Dir(t.TempDir())}
	first, other := loginOf("first", 1), loginOf("other", 2)
	first.Account, other.Account = &claude.Account{AccountUUID: "u-1"}, &claude.Account{AccountUUID: "u-2"}
	if _, err := store.Offer(t.Context(), first, other, true, time.Now()); err != nil {
		t.Fatal(err)
	}
	g := &fakeGuest{}
	k := &Sync{Store: store, Held: first}
	if k.refresh(t.Context(), g.send); g.credentials != "" {
		t.Errorf("the guest was given %s", g.credentials)
	}
}

func TestAGuestCannotSayTooMuch(t *testing.T) {
	t.Parallel()
	k := &Sync{Store: Store{Dir: state.Dir(t.TempDir())}}
	k.poll(t.Context(), func(_ context.Context, _ string, out io.Writer) error {
		for {
			if _, err := out.Write(make([]byte, 1<<20)); err != nil {
				return err
			}
		}
	})
	if k.err == nil {
		t.Error("no error")
	}
	if _, err := os.Stat(k.Store.Path()); !errors.Is(err, os.ErrNotExist) {
		t.Error("something was kept")
	}
}

func TestPause(t *testing.T) {
	t.Parallel()
	now := time.Now()
	in := func(d time.Duration) *Sync {
		return &Sync{Held: claude.Login{Tokens: &claude.Tokens{AccessToken: "a", ExpiresAt: now.Add(d).UnixMilli()}}}
	}
	for name, test := range map[string]struct {
		k    *Sync
		want time.Duration
	}{
		"no login":                 {&Sync{}, farRound},
		"good for hours":           {in(5 * time.Hour), farRound},
		"renewal is about to come": {in(renewalBegins + time.Minute), time.Minute},
		"renewal may come":         {in(time.Minute), closeRound},
		"expired":                  {in(-time.Hour), closeRound},
	} {
		if got := test.k.pause(now).Round(time.Second); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A session whose VM is lost has no leave to take: its rounds end when it is asked for its news.
func TestNewsEndTheRounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		k := &Sync{Store: Store{Dir: state.Dir(t.TempDir())}}
		k.Begin(t.Context(), func(ctx context.Context, _ string, _ io.Writer) error {
			asked++
			<-ctx.Done() // the guest hangs
			return ctx.Err()
		}, nil)
		time.Sleep(farRound + time.Second)
		if _, err := k.News(); !errors.Is(err, context.Canceled) || asked != 1 {
			t.Errorf("asked %d times, %v", asked, err)
		}
		time.Sleep(2 * farRound)
		if asked != 1 {
			t.Error("it goes on asking")
		}
		if _, err := k.News(); !errors.Is(err, context.Canceled) {
			t.Errorf("asked once more: %v", err)
		}
	})
}

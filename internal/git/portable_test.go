package git_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/themouette/claude-vm/internal/git"
)

// What decides how git works goes along; what names a program, a file or a secret of the host stays.
func TestPortable(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]bool{
		"core.autocrlf=input": true, "core.commentchar=;": true, "init.defaultbranch=trunk": true, "pull.rebase=true": true,
		"push.autosetupremote=true": true, "merge.conflictstyle=zdiff3": true, "rebase.autosquash=true": true, "alias.co=checkout": true,
		"color.diff.new=green bold": true, "diff.algorithm=histogram": true, "diff.pdf.binary=true": true, "diff.java.xfuncname=^class": true,
		"url.git@github.com:.insteadof=https://github.com/": true, "url.ssh://git@host/.pushinsteadof=https://host/": true,
		"blame.ignorerevsfile=.git-blame-ignore-revs": false, "commit.verbose=true": true, "trailer.see.key=See-also": true,
		"i18n.commitencoding=UTF-8": true, "format.pretty=oneline": true, "fetch.prune=true": true, "status.short=true": true,

		"alias.x=!rm -rf /": false, "core.editor=code --wait": false, "core.pager=delta": false, "core.hookspath=/home/a/hooks": false,
		"core.sshcommand=ssh -i k": false, "core.excludesfile=~/.ignore": false, "core.fsmonitor=watchman": false, "core.worktree=/x": false,
		"credential.helper=store": false, "diff.external=difft": false, "diff.pdf.textconv=pdftotext": false, "diff.tool=meld": false,
		"merge.tool=meld": false, "merge.npm.driver=npx x": false, "mergetool.meld.path=/x": false, "difftool.x.cmd=y": false,
		"filter.lfs.clean=git-lfs clean": false, "gpg.program=/opt/gpg": false, "commit.gpgsign=true": false, "tag.gpgsign=true": false,
		"user.signingkey=K": false, "commit.template=~/t": false, "sendemail.smtppass=secret": false, "http.extraheader=Authorization: x": false,
		"http.proxy=http://u:p@x": false, "url.https://token@github.com/.insteadof=https://github.com/": false,
		"url.https://u:p@h/.insteadof=gh:": false, "url./home/a/mirror/.insteadof=https://h/": false, "include.path=x": false,
		"init.templatedir=~/t": false, "interactive.difffilter=delta": false, "sequence.editor=x": false, "push.gpgsign=true": false,
		"merge.verifysignatures=true": false, "trailer.sign.command=x": false, "trailer.sign.cmd=x": false, "log.mailmap=true": false,
		"apply.whitespace=fix": true, "remote.origin.url=x": false, "extensions.objectformat=sha256": false, "diff.orderfile=x": false,
	} {
		key, value, _ := strings.Cut(line, "=")
		setting := git.UserSetting{Scope: "global", Key: key, Value: value}
		if got := git.Portable([]git.UserSetting{setting}); (len(got) == 1) != want {
			t.Errorf("%s: %v", line, got)
		}
		setting.Scope = "local"
		if got := git.Portable([]git.UserSetting{setting}); len(got) > 0 {
			t.Errorf("the repository's %s goes along, which is there anyway", line)
		}
	}
}

func TestFiltered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.git("", "init", "-q", "repo")
	w.mkdir("repo/sub")
	for name, text := range map[string]string{".gitattributes": "*.key filter=git-crypt\n*.bin filter=lfs\n", "a.key": "", "sub/é.key": "", "b.bin": "", "c": ""} {
		w.write("repo/"+name, text, 0o600)
	}
	w.git("repo", "config", "filter.git-crypt.clean", "git-crypt clean")
	w.git("repo", "config", "filter.lfs.clean", "git-lfs clean")
	w.git("repo", "config", "extensions.relativeworktrees", "true")
	w.git("repo", "-c", "filter.git-crypt.clean=", "-c", "filter.lfs.clean=", "add", ".")
	client := git.Client{Env: w.env}
	settings, err := client.Settings(t.Context(), w.path("repo"))
	if err != nil {
		t.Fatal(err)
	}
	filters := git.Filters(settings)
	files, err := client.Filtered(t.Context(), w.path("repo"), filters)
	if diff := cmp.Diff([][]string{{"git-crypt"}, {"a.key", "sub/é.key"}, {"relativeworktrees"}}, [][]string{filters, files, git.UnknownExtensions(settings)}); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

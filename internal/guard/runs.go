package guard

import (
	"path"
	"strings"
)

// occasion is when tools of a host run what a file says, or are told by it what to run, without
// having been told to look at it.
type occasion int

const (
	never     occasion = iota
	perhaps            // nobody knows of which tool: it looks like a configuration, or it is a program
	onCommand          // when a tool is asked for something else
	atOnce             // when somebody opens its folder, or has a prompt there
)

// rule is why a file counts. Files of one kind are much the same to who reads about them.
type rule struct {
	when occasion
	kind string
	rank int // the earlier named, the more often tools are set up to obey it
}

// The kinds of what no list names. Which tool reads such a file nobody can know, so that all of
// them count.
const (
	dotFiles = "files whose names begin with a dot"
	programs = "programs"
	links    = "links out of the project"
	gitsOwn  = "files that git or your scripts take from the project"
)

// The names that are known say how soon a file runs, and no more: what they do not name still
// counts if it looks like a configuration. A slash at the end makes it a folder, whatever lies in
// it; one star stands for any letters. All of them are in small letters: on some file systems
// others mean the same.
const (
	namesAtOnce = `.envrc .vscode/ .idea/ .claude/ .mcp.json *.code-workspace .devcontainer/ .devcontainer.json
		.cursor/ .zed/ .fleet/ .env* .direnv/ mise.toml mise.*.toml .mise/ .mise.* .tool-versions .rtx.toml *.nix
		flake.lock devenv.* .devenv/ .config/ .autoenv* claude*.md agents*.md agent.md gemini.md qwen.md crush.md
		codex.md copilot*.md warp.md skill.md .gemini/ .codex/ .qwen/ .agents/ .opencode/ opencode.json* .crush/
		crush.json .aider* .windsurf* .windsurf/ .cursor* .clinerules .clinerules/ .roo* .roo/ .kiro/ .continue/
		.amazonq/ .copilot/ .goose* .mcp/ mcp.json *.mcp.json .exrc .nvimrc .nvim.lua .nvim/ .vimrc .vim/ .gvimrc
		*.lvimrc .dir-locals*.el .projectile .helix/ .nova/ .vs/ .theia/ .kak/ *.sublime-project
		*.sublime-workspace *.iml *.ipr *.iws *.pro *.pri *.desktop`
	namesOnCommand = `makefile gnumakefile package.json .npmrc .yarnrc* .pnpmfile.* .pnp.* .yarn/ .husky/
		.githooks/ .git-hooks/ .github/ pyproject.toml conftest.py setup.py setup.cfg cargo.toml .cargo/ build.rs
		*.gradle* gradlew* gradle-wrapper.* gradle.properties buildsrc/ pom.xml mvnw* .mvn/ dockerfile*
		*.dockerfile containerfile* compose*.y*ml docker-compose*.y*ml docker-bake.* cmakelists.txt *.cmake
		justfile *.just .justfile rakefile *.rake taskfile.* gemfile *.gemspec go.mod go.work
		.pre-commit-config.yaml lefthook* .lefthook* .lefthook/ .overcommit.yml .simple-git-hooks.* .lintstaged*
		lint-staged* commitlint* .gitattributes .gitmodules .gitconfig .gitlab-ci.yml .circleci/ .gitea/
		.forgejo/ .woodpecker* .buildkite/ jenkinsfile* azure-pipelines* bitbucket-pipelines* appveyor*
		cloudbuild* buildspec* action.y*ml tsconfig*.json jsconfig*.json deno.json* import_map.json bunfig.toml
		pnpm-workspace.yaml composer.json lerna.json nx.json turbo.json rush.json angular.json project.json
		package.yaml package.json5 vercel.json gulpfile* gruntfile* jakefile* cakefile plopfile* webpack* rollup*
		*.conf.js *.conf.cjs *.conf.mjs *.conf.ts ember-cli-build* vitest.workspace.* *.babel.js makefile.* *.mk
		*.mak *.make cmakepresets.json cmakeuserpresets.json cmakecache.txt compile_commands.json
		compile_flags.txt meson.build meson.options meson_options.txt build.ninja *.ninja configure configure.*
		*.m4 *.am *.in.mk wscript sconstruct sconscript *.qbs *.gn *.gni *.bp buck build build.bazel workspace
		workspace.bazel* module.bazel *.bzl .bazel* *.star tiltfile earthfile pants.toml skaffold.y*ml
		serverless.* procfile* vagrantfile ansible.cfg *.pth sitecustomize.py usercustomize.py pyvenv.cfg tox.ini
		noxfile.py tasks.py fabfile.py dodo.py pytest.ini mypy.ini pyrightconfig.json pipfile requirements*.txt
		environment.y*ml snakefile dvc.yaml *.csproj *.fsproj *.vbproj *.vcxproj *.props *.targets *.proj *.sln*
		*.rsp global.json nuget.config paket.* build.sbt *.sbt build.sc build.mill build.xml ivy.xml project.clj
		deps.edn shadow-cljs.edn bb.edn mix.exs *.exs rebar.config dune dune-project *.opam *.cabal
		cabal.project* stack.yaml hie.yaml setup.hs package.swift podfile *.podspec fastfile fastlane/
		*.xcodeproj/ *.xcworkspace/ *.pbxproj cartfile build.zig* *.nimble nim.cfg config.nims shard.yml cpanfile
		makefile.pl build.pl .rprofile renv/ pubspec* guardfile capfile thorfile berksfile dangerfile brewfile
		config.ru phpunit.xml* phpstan.neon* psalm.xml* rector.php magefile.go magefiles/ .gdbinit .lldbinit
		.pdbrc manifest.scm guix.scm channels.scm rust-toolchain* clippy.toml rustfmt.toml`
	namesPerhaps = `*.config.* *.config *.toml *.lock *-lock.* npm-shrinkwrap.json bun.lockb *.command
		autorun.inf desktop.ini`
)

// harmlessDots are names with a dot at their beginning that say nothing to any tool: marks that
// keep a folder, data of the desktop, what editors leave while a file is open, and what was
// measured. caches are folders of that kind: what lies in them is made anew by a tool from
// something else, often with each command, so that it would bury all that matters.
const (
	harmlessDots = `.git .gitkeep .keep .ds_store .coverage .coverage.* .nfs* .*.swp .*.swo .*.swx .~lock.* .#*
		.fuse_hidden* ._* .*cache`
	caches = `.*cache .*-cache .*_cache .cache .next .nuxt .turbo .gradle .terraform .tox .nox .eggs
		.svelte-kit .output .angular .expo .docusaurus .astro .vite .nyc_output .dart_tool .stack-work .bloop
		.hypothesis .ipynb_checkpoints .pytype .pyre .build .kotlin __pycache__ target dist`
	// vcs are the folders of other version control systems. They change with each command, and only
	// these files in them are obeyed.
	vcs      = `.hg .jj .sl .svn .bzr .pijul _darcs`
	vcsFiles = `hgrc hgrc-not-shared sharedpath repo config config.* config-* *.conf location git_target
		prefs defaults hooks`
	// installed are folders full of other people's projects, whose files nobody can look at one by
	// one.
	installed = `node_modules vendor .venv venv site-packages bower_components jspm_packages pods __pypackages__`
)

// names are patterns of one word each.
type names struct {
	exact map[string]rule
	stars []starred
}

// starred is a pattern with a star between the two ends, of which the last in front of another star
// counts.
type starred struct {
	begin, end, whole string
	rule
}

func (n *names) add(pattern string, r rule) {
	if begin, rest, ok := strings.Cut(pattern, "*"); ok {
		n.stars = append(n.stars, starred{begin, rest[strings.LastIndexByte(rest, '*')+1:], pattern, r})
	} else if _, known := n.exact[pattern]; !known {
		n.exact[pattern] = r
	}
}

func (n *names) find(name string) (rule, bool) {
	if r, ok := n.exact[name]; ok {
		return r, true
	}
	for _, s := range n.stars {
		if s.matches(name) {
			return s.rule, true
		}
	}
	return rule{}, false
}

// matches looks at the ends first, which fit few names.
func (s starred) matches(name string) bool {
	if len(name) < len(s.begin)+len(s.end) || !strings.HasPrefix(name, s.begin) || !strings.HasSuffix(name, s.end) {
		return false
	}
	ok, _ := path.Match(s.whole, name)
	return ok
}

func patterns(words string, r rule) names {
	n := names{exact: map[string]rule{}}
	for _, word := range strings.Fields(words) {
		n.add(word, r)
	}
	return n
}

// runners are all names that count.
type runners struct{ files, folders, harmless, caches, installed, vcs, vcsFiles names }

var allRunners = func() runners {
	all := runners{
		files: patterns("", rule{}), folders: patterns("", rule{}), harmless: patterns(harmlessDots, rule{}),
		caches: patterns(caches, rule{}), installed: patterns(installed, rule{}), vcs: patterns(vcs, rule{}),
		vcsFiles: patterns(vcsFiles, rule{atOnce, "settings of version control", worst}),
	}
	rank := 0
	for _, list := range []struct {
		when  occasion
		words string
	}{{atOnce, namesAtOnce}, {onCommand, namesOnCommand}, {perhaps, namesPerhaps}} {
		for _, word := range strings.Fields(list.words) {
			rank++
			r := rule{list.when, word, rank}
			if folder, ok := strings.CutSuffix(word, "/"); ok {
				all.folders.add(folder, r)
				all.files.add(folder, r) // a file or a link can stand in its place
			} else {
				all.files.add(word, r)
			}
		}
	}
	return all
}()

// isCache and isInstalled say what a folder of a name in a project is full of.
func isCache(name string) bool {
	_, ok := allRunners.caches.find(strings.ToLower(name))
	return ok
}

func isInstalled(name string) bool {
	_, ok := allRunners.installed.find(strings.ToLower(name))
	return ok
}

// groundOf says what a folder of a name is full of that lies on some ground.
func groundOf(on ground, name string) ground {
	switch {
	case on == work && isCache(name), on == foreign && isCache(name) && name != "dist" && name != "target":
		return cache
	case on == work && isInstalled(name):
		return foreign
	}
	return on
}

// byName says when some tool of a host runs what the file at a path says, as far as its name and
// those of its folders tell.
func byName(rel string) (best rule) {
	rel = strings.ToLower(rel)
	dir, base := path.Split(rel)
	if _, ok := allRunners.harmless.find(base); ok {
		return rule{}
	}
	better := func(r rule) {
		if r.when > best.when {
			best = r
		}
	}
	for dir != "" {
		var name string
		name, dir, _ = strings.Cut(dir, "/")
		if _, ok := allRunners.vcs.find(name); ok {
			r, _ := allRunners.vcsFiles.find(base)
			return r
		}
		if r, ok := allRunners.folders.find(name); ok {
			better(r)
		} else if strings.HasPrefix(name, ".") && name != "." && name != ".." {
			better(rule{perhaps, dotFiles, worst})
		}
	}
	if r, ok := allRunners.files.find(base); ok {
		better(r)
	}
	switch {
	case strings.HasPrefix(base, "."):
		better(rule{perhaps, dotFiles, worst})
	case isRC(base):
		better(rule{perhaps, "*rc", worst})
	}
	return best
}

// worst is the rank of what no list names.
const worst = 1 << 20

// isRC says whether a name is that of a configuration as Unix has always named them: vimrc,
// eslintrc.json. A short word in front of the ending of source code is none: arc.js, crc.ts.
func isRC(base string) bool {
	stem, ext, _ := strings.Cut(base, ".")
	if !strings.HasSuffix(stem, "rc") {
		return false
	}
	switch ext {
	case "":
		return len(stem) > len("crc")
	case "js", "cjs", "mjs", "ts", "cts", "mts":
		return len(stem) > len("sparc")
	case "json", "json5", "jsonc", "yaml", "yml", "ini", "conf", "lua", "vim":
		return true
	}
	return false
}

// holds says when files in a folder of that name run by themselves because of it.
func holds(rel string) (best rule) {
	for _, name := range []string{"/x", "/config"} {
		if r := byName(rel + name); r.when > best.when {
			best = r
		}
	}
	return best
}

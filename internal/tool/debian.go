package tool

// The tools that are nothing but Debian packages.

func git() Tool {
	return Tool{
		Name: "git", Summary: "Git",
		Packages: []string{"git"},
		Checks:   []string{"git --version"},
	}
}

func gpg() Tool {
	return Tool{
		Name: "gpg", Summary: "GnuPG",
		Packages: []string{"gnupg"},
		Checks:   []string{"gpg --version"},
	}
}

func gh() Tool {
	return Tool{
		Name: "gh", Summary: "GitHub's command line",
		Packages: []string{"gh"},
		Checks:   []string{"gh --version"},
	}
}

func python() Tool {
	return Tool{
		Name: "python", Summary: "Python 3 with pip and venv",
		Packages: []string{"python3", "python3-pip", "python3-venv"},
		Checks:   []string{"python3 --version", "pip3 --version", "python3 -c 'import venv, ensurepip'"},
	}
}

func rust() Tool {
	return Tool{
		Name: "rust", Summary: "Rust's compiler and cargo",
		Packages: []string{"rustc", "cargo"},
		Checks:   []string{"rustc --version", "cargo --version", `cd "$(mktemp -d)" && echo 'fn main() {}' | rustc -o main - && ./main`},
	}
}

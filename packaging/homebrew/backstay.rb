# Backstay for Homebrew, on macOS and Linux.
class Backstay < Formula
  desc "Quiet, verified iPhone backups"
  homepage "https://backstay.example/"
  url "https://backstay.example/releases/backstay-0.1.0.tar.gz"
  # packaging/release writes it.
  sha256 "0000000000000000000000000000000000000000000000000000000000000000"
  license any_of: ["MIT", "Apache-2.0"]
  head "https://backstay.example/backstay.git", branch: "main"

  depends_on "rust" => :build

  # macOS has one of its own.
  on_linux do
    depends_on "usbmuxd"
  end

  def install
    packages = %w[backstay backstay-tray backstay-documents].flat_map { |name| ["-p", name] }
    system "cargo", "build", "--locked", "--release", *packages
    bin.install "target/release/backstay", "target/release/backstay-tray"
    system "target/release/backstay-documents", "documents"
    man1.install Dir["documents/man/*.1"]
    %w[backstay backstay-tray].each do |name|
      bash_completion.install "documents/completions/#{name}.bash" => name
      zsh_completion.install "documents/completions/_#{name}"
      fish_completion.install "documents/completions/#{name}.fish"
    end
    doc.install "README.md", "documents/third-party-licences"
  end

  service do
    run [opt_bin/"backstay", "daemon"]
    # One that ends by itself, since another runs already, stays ended.
    keep_alive crashed: true
    process_type :background
  end

  def caveats
    <<~EOS
      Daemon and icon in the menu bar, from login:
        backstay login enable
      The daemon alone: brew services start backstay. Use one of the two.
    EOS
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/backstay --version")
    assert_match version.to_s, shell_output("#{bin}/backstay-tray --version")
    assert_match "iCloud", shell_output("#{bin}/backstay explain iCloud full")
  end
end

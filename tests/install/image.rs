//! The Dockerfile, without Docker: what it copies is there, what it builds with is what this repository names, and who it
//! runs as is whom the chart runs it as.

use introspectd::config::{Config, StoreConfig};
use serde_json::Value;

use super::{root, settings, text};

/// Its instructions: the word in capitals, and what is behind it, on one line.
fn instructions() -> Vec<(String, String)> {
    let text = text("Dockerfile");
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let joined = lines.join("\n").replace("\\\n", " ");
    let instructions = joined.lines().filter(|line| !line.trim().is_empty()).map(|line| {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        (word.to_owned(), rest.split_whitespace().collect::<Vec<_>>().join(" "))
    });
    instructions.collect()
}

/// What stands behind one word, in the order of the file.
fn all<'a>(instructions: &'a [(String, String)], word: &str) -> Vec<&'a str> {
    instructions.iter().filter(|(found, _)| found == word).map(|(_, rest)| rest.as_str()).collect()
}

/// The instructions of the last stage, which is the image.
fn image() -> Vec<(String, String)> {
    let instructions = instructions();
    let last = instructions.iter().rposition(|(word, _)| word == "FROM").unwrap();
    instructions[last..].to_vec()
}

fn argument(name: &str) -> String {
    let instructions = instructions();
    let found = all(&instructions, "ARG").into_iter().find_map(|text| text.strip_prefix(&format!("{name}=")));
    found.unwrap_or_else(|| panic!("no ARG {name}")).to_owned()
}

/// Everything that is copied from the repository.
fn copied() -> Vec<String> {
    let instructions = instructions();
    let from_here = all(&instructions, "COPY").into_iter().filter(|text| !text.contains("--from="));
    from_here
        .flat_map(|text| {
            let words: Vec<&str> = text.split(' ').filter(|word| !word.starts_with("--")).collect();
            words[..words.len() - 1].iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn what_is_copied_exists_and_is_sent_to_the_builder() {
    let ignored = text(".dockerignore");
    let lines: Vec<&str> = ignored.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines[0], "*", "what is not named stays here: keys and data above all");
    let sent: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix('!')).collect();
    let copied = copied();
    assert!(copied.len() > 5, "{copied:?}");
    for source in &copied {
        assert!(root().join(source).exists(), "COPY {source}: it is not there");
        assert!(sent.contains(&source.split('/').next().unwrap()), "COPY {source}: .dockerignore keeps it back");
    }
    for name in &sent {
        assert!(copied.iter().any(|source| source.split('/').next() == Some(name)), "{name} is sent for nothing");
    }
}

/// cargo refuses to build a workspace of which a member is missing, or a target that the manifest names.
#[test]
fn what_cargo_wants_to_see_is_copied() {
    let manifest: toml::Table = text("Cargo.toml").parse().unwrap();
    let copied = copied();
    let members = manifest["workspace"]["members"].as_array().unwrap().iter();
    let targets = ["bench", "test", "bin"].into_iter().filter_map(|kind| manifest.get(kind)?.as_array()).flatten();
    let mut wanted: Vec<&str> = members.map(|member| member.as_str().unwrap()).collect();
    wanted.extend(targets.map(|target| target["path"].as_str().unwrap()));
    wanted.extend(["Cargo.toml", "Cargo.lock", "deploy/build-static", "deploy/notices"]);
    for path in wanted {
        let is_copied = copied.iter().any(|source| path == source || path.starts_with(&format!("{source}/")));
        assert!(is_copied, "{path} is not copied");
    }
}

#[test]
fn it_is_built_by_the_compiler_and_from_the_version_of_this_repository() {
    let toolchain: toml::Table = text("rust-toolchain.toml").parse().unwrap();
    let channel = toolchain["toolchain"]["channel"].as_str().unwrap();
    assert!(argument("BUILD_IMAGE").starts_with(&format!("rust:{channel}-")), "{}", argument("BUILD_IMAGE"));
    assert_eq!(argument("VERSION"), env!("CARGO_PKG_VERSION"));
}

/// An image whose name says neither version nor digest is another one tomorrow.
#[test]
fn what_it_is_built_with_is_exact_and_it_is_based_on_nothing_unless_told_otherwise() {
    let image = argument("BUILD_IMAGE");
    let (_, tag) = image.rsplit_once(':').unwrap();
    assert!(tag != "latest" && tag.contains('.'), "{image}: version, please");
    let reason = "Not by digest:";
    assert!(image.contains("@sha256:") || text("Dockerfile").contains(reason), "{image} is not pinned");
    assert_eq!(argument("BASE_IMAGE"), "scratch");
    let instructions = instructions();
    for from in all(&instructions, "FROM") {
        let base = from.split(' ').find(|word| !word.starts_with("--")).unwrap();
        assert!(base.starts_with("${"), "FROM {from}: what it is based on is an argument, so that it can be pinned");
    }
}

/// Only the binary, its licences and a configuration get in, and nothing runs in the image while it is built.
#[test]
fn the_image_has_no_shell_and_no_rights() {
    let image = image();
    assert!(image[0].1.contains("BASE_IMAGE"));
    assert!(all(&image, "RUN").is_empty() && all(&image, "ADD").is_empty());
    assert_eq!(all(&image, "USER"), ["65532:65532"]);
    for word in ["HEALTHCHECK", "ENTRYPOINT", "CMD"] {
        for command in all(&image, word) {
            let list = &command[command.find('[').unwrap_or_else(|| panic!("{word} {command}: it needs a shell"))..];
            let words: Vec<String> = serde_json::from_str(list).unwrap();
            let is_ours = words[0] == "/usr/local/bin/introspectd" || word == "CMD";
            assert!(is_ours, "{word} {command}");
        }
    }
    let health = all(&image, "HEALTHCHECK")[0];
    assert!(health.ends_with(r#"CMD ["/usr/local/bin/introspectd", "health"]"#), "{health}");
    // What is set by variables would win over the chart's configuration, which is a file.
    assert!(all(&image, "ENV").is_empty());
}

#[test]
fn the_chart_runs_it_as_the_user_that_it_is_made_for() {
    let values = text("helm/introspectd/values.yaml");
    let values: Value = serde_saphyr::from_str(&values).unwrap();
    assert_eq!(values["podSecurityContext"]["runAsUser"], 65532);
    let deployment = text("helm/introspectd/templates/deployment.yaml");
    assert!(deployment.contains("command: [introspectd]"), "it is found on the path of the base: /usr/local/bin");
    let image = image();
    let ports: Vec<String> = ["public", "admin"].map(|name| values["ports"][name].to_string()).into();
    assert_eq!(all(&image, "EXPOSE"), [ports.join(" ")]);
}

/// Both architectures are built on one machine, and nothing is run that is built for another.
#[test]
fn it_is_built_where_it_is_built_for_another_processor() {
    let instructions = instructions();
    let first = all(&instructions, "FROM")[0];
    assert!(first.starts_with("--platform=${BUILDPLATFORM} "), "{first}");
    let runs = all(&instructions, "RUN").join("\n");
    assert!(runs.contains(r#"deploy/build-static --target "$TARGETARCH" --out /out"#), "{runs}");
    for (from, to) in [("amd64", "arm64"), ("arm64", "amd64")] {
        assert!(runs.contains(&format!("\"{from} to {to}\") packages=\"gcc-")), "{runs}");
        assert!(runs.contains(&format!(" musl-dev:{to}\"")), "{runs}");
    }
}

/// OCI image specification, annotations: the keys that registries show.
#[test]
fn labels_say_what_it_is_and_where_it_comes_from() {
    let image = image();
    let labels = all(&image, "LABEL").join(" ");
    for key in ["title", "description", "licenses", "version", "revision", "created", "base.name"] {
        assert!(labels.contains(&format!("org.opencontainers.image.{key}=\"")), "{key}: {labels}");
    }
    assert!(labels.contains(env!("CARGO_PKG_DESCRIPTION")));
    let manifest: toml::Table = text("Cargo.toml").parse().unwrap();
    let licence = manifest["workspace"]["package"]["license"].as_str().unwrap();
    assert!(labels.contains(&format!("image.licenses=\"{licence}\"")));
}

#[test]
fn its_configuration_is_read_and_names_its_volume() {
    let copies = image();
    let copies = all(&copies, "COPY").join("\n");
    let config = settings(&root().join("deploy/image.toml"), &[]).unwrap_or_else(|errors| panic!("{errors}"));
    assert!(config.public.address.ip().is_unspecified(), "the world is outside");
    assert_eq!(config.public.address.port(), Config::default().public.address.port());
    // Where `health` asks by itself.
    assert_eq!(config.admin.address, Config::default().admin.address);
    let StoreConfig::Embedded { path } = &config.store else { panic!("{:?}", config.store) };
    assert!(copies.contains(&format!("--chown=65532:65532 /out/data {}", path.display())), "{copies}");
    assert!(copies.contains("deploy/image.toml /etc/introspectd/introspectd.toml"));
    let command = image();
    assert_eq!(all(&command, "CMD"), [r#"["serve", "-c", "/etc/introspectd/introspectd.toml"]"#]);
}

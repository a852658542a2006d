//! A sink that is a file: one envelope a line.

use std::path::PathBuf;

use tokio::fs::OpenOptions;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Mutex;

use super::dispatcher::Failure;
use super::failed;

#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    /// Lines of two meetings must not mix.
    turn: Mutex<()>,
}

impl File {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, turn: Mutex::default() }
    }

    /// Opened anew for each line, so that whoever rotates the file has nobody to tell.
    pub(super) async fn append(&self, mut line: String) -> Result<(), Failure> {
        line.push('\n');
        let _turn = self.turn.lock().await;
        let written = async {
            let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.path).await?;
            file.write_all(line.as_bytes()).await?;
            file.flush().await?;
            file.sync_data().await
        };
        written.await.map_err(|error| failed(format!("cannot write to {}: {error}", self.path.display())))
    }
}

//! Files as answers, read as they are sent (admin.md §2).

use std::{
    io,
    path::Path,
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::{
    body::{Body, Bytes, HttpBody},
    http::{HeaderName, header},
    response::{IntoResponse, Response},
};
use hyper::body::{Frame, SizeHint};
use tokio::{
    fs::File,
    io::{AsyncRead, ReadBuf},
};

use super::AdminError;

const FILENAME: HeaderName = HeaderName::from_static("filename");
/// Read at once.
const CHUNK_BYTES: usize = 64 << 10;

/// The file as an attachment called `name`; 404 if there is none.
pub(super) async fn download(path: &Path, name: &str) -> Result<Response, AdminError> {
    let opened = async {
        let file = File::open(path).await?;
        let left = file.metadata().await?.len();
        Ok::<_, io::Error>(FileBody { file, left })
    };
    let body = opened.await.map_err(|_| AdminError::not_found())?;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, body.left.to_string()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
        (FILENAME, name.to_owned()),
    ];
    Ok((headers, Body::new(body)).into_response())
}

/// What is left of an open file; it may be unlinked meanwhile.
struct FileBody {
    file: File,
    left: u64,
}

impl HttpBody for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let most = usize::try_from(self.left).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        let mut chunk = vec![0; most];
        let mut buffer = ReadBuf::new(&mut chunk);
        ready!(Pin::new(&mut self.file).poll_read(context, &mut buffer))?;
        let read = buffer.filled().len();
        if read == 0 {
            return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
        }
        self.left -= read as u64;
        chunk.truncate(read);
        Poll::Ready(Some(Ok(Frame::data(chunk.into()))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

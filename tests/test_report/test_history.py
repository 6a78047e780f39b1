import json

from yolo_world_rep.report.history import read_history


def log(work_dir, name, rows, tail=''):
    folder = work_dir / name / 'vis_data'
    folder.mkdir(parents=True)
    text = ''.join(json.dumps(row) + '\n' for row in rows)
    (folder / 'scalars.json').write_text(text + tail)


def step(n, epoch, loss):
    return dict(step=n, epoch=epoch, loss=loss, loss_cls=loss / 2, lr=0.1)


def evaluation(epoch, ap):
    return {'step': epoch, 'coco/bbox_mAP': ap, 'time': 1.}


def test_one_run(tmp_path):
    log(tmp_path, '1', [step(1, 1, 9.), step(2, 1, 8.), evaluation(1, 0.1),
                        step(3, 2, 7.), evaluation(2, 0.2)])
    history = read_history(tmp_path)
    assert history.curve('loss') == ([1, 2, 3], [9., 8., 7.])
    assert history.metric('coco/bbox_mAP') == ([1, 2], [0.1, 0.2])
    assert history.losses == ['loss', 'loss_cls']
    assert history.curve('nothing') == ([], [])


def test_what_a_resumed_run_did_again_counts(tmp_path):
    log(tmp_path, '20260101_000000',
        [step(1, 1, 9.), evaluation(1, 0.1), step(2, 2, 8.),
         evaluation(2, 0.2), step(3, 3, 7.)], tail='{"loss": 6')
    log(tmp_path, '20260102_000000',
        [step(2, 2, 80.), evaluation(2, 0.02), step(3, 3, 70.)])
    history = read_history(tmp_path)
    assert history.curve('loss') == ([1, 2, 3], [9., 80., 70.])
    assert history.metric('coco/bbox_mAP') == ([1, 2], [0.1, 0.02])


def test_later_evaluations_of_an_abandoned_run_are_void(tmp_path):
    log(tmp_path, '1', [step(1, 1, 9.), evaluation(1, 0.1), step(2, 2, 8.),
                        evaluation(2, 0.2)])
    log(tmp_path, '2', [step(2, 2, 80.)])
    assert read_history(tmp_path).metric('coco/bbox_mAP')[0] == [1]


def test_an_evaluation_alone_changes_no_curve(tmp_path):
    log(tmp_path, '1', [step(1, 1, 9.), evaluation(1, 0.1)])
    log(tmp_path, '2', [evaluation(0, 0.5)])
    assert read_history(tmp_path).curve('loss')[0] == [1]


def test_nothing_logged(tmp_path):
    history = read_history(tmp_path)
    assert history.steps == history.evaluations == history.losses == []
